"""torch datasets as splits whose order and random draws can be reproduced exactly."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

import attrs
import torch
from torch.utils.data import (
    Dataset,
    IterableDataset,
    default_collate,  # pyright: ignore[reportUnknownVariableType]  # torch does not say what it takes
)
from typing_extensions import override

from runwright.data.interface import Batch
from runwright.data.parts import fields_of
from runwright.data.streaming import Gather, Streamed
from runwright.device.generators import (
    SeededReading,
    generator_states,
    generators_kept,
    restore_generators,
    seed_generators,
)
from runwright.errors import UserError, did_you_mean

log = logging.getLogger(__name__)

B = TypeVar("B", bound=Batch)

Collate: TypeAlias = type[B] | Callable[[list[Any]], B]
"""What makes a batch from examples: the class of the batch, or a function."""


_NOT_REPRODUCIBLE: Final = (
    "Example %d of %s is different when it is read again. Either the dataset uses a random "
    "generator other than the global ones of torch, NumPy and Python, which are seeded for every "
    "example, or it changes what it reads. So a killed run will not resume exactly, and the number "
    "of workers changes the batches."
)


class _FromDataset(Streamed[B], Generic[B]):
    """What both kinds of datasets have in common: global random generators, and collating.

    Transforms draw from the global generators of Python, NumPy and torch. These are seeded by what
    is read, and restored for the training. So the two must not run at the same time: without
    workers, batches are gathered while the training waits.
    """

    in_turns = True

    def __init__(self, collate: Collate[B], num_examples: int, **how: Any) -> None:
        super().__init__(num_examples, **how)
        self.collate = collate

    @property
    def seed(self) -> int:
        """Seeds the random draws; the same for all runs if the order is kept."""
        return self.shuffle_seed if self.shuffle_seed is not None else 0

    @override
    def gather(self, positions: torch.Tensor, epoch: int) -> B:
        with generators_kept():
            examples = self.read(positions, epoch if self.shuffle_seed is not None else 0)
        return collated(examples, self.collate, positions)

    @abstractmethod
    def read(self, positions: torch.Tensor, epoch: int) -> list[Any]:
        """The examples at these positions; may change the global generators."""


class TorchSplit(_FromDataset[B], Generic[B]):
    """A map-style torch `Dataset` as a split: `dataset[i]` is an example, transforms included.

    The order of the examples depends on (seed, epoch) alone, and whatever `dataset[i]` draws from
    the global generators of torch, NumPy or Python (on the CPU) on (seed, epoch, i). So the batches
    are the same with any number of workers, and a killed run resumes exactly, without reading
    earlier examples again. Without a seed, every epoch has the same order and draws. A dataset that
    has a generator of its own, or changes itself, is not reproducible.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        collate: Collate[B],
        *,
        batch_size: int,
        shuffle_seed: int | None,
        device: torch.device,
        num_workers: int = 0,
    ) -> None:
        """Cut a dataset into batches.

        Args:
            dataset: has a length, and an example for each index.
            collate: the class of the batch, whose attributes are the parts of an example: by name
                if it is a dictionary, in order if it is a tuple. Or a function that makes a batch
                from a list of examples.
            batch_size: examples per batch.
            shuffle_seed: reshuffles in every epoch, and drops the last, smaller batch; None keeps
                the order and all examples.
            device: the training device.
            num_workers: number of processes that read examples; 0 reads while the training waits.

        Raises:
            UserError: the dataset has no length, or does not fill one batch.
        """
        if isinstance(dataset, IterableDataset):
            raise UserError(
                f"{type(dataset).__name__} is an IterableDataset, whose examples have no index. "
                "Use TorchStream, which reads them in the dataset's own order."
            )
        if not isinstance(dataset, Sized):
            raise UserError(f"{type(dataset).__name__} has no length. Define __len__.")
        super().__init__(
            collate,
            len(dataset),
            batch_size=batch_size,
            shuffle_seed=shuffle_seed,
            device=device,
            num_workers=num_workers,
        )
        self.dataset = dataset
        self._reading = SeededReading()
        self._is_compared = False

    @override
    def read(self, positions: torch.Tensor, epoch: int) -> list[Any]:
        indices = cast("list[int]", positions.tolist())
        return self._reading.read(indices, self._example, seed=self.seed, epoch=epoch)

    def _example(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except Exception as error:
            error.add_note(f"Raised by example {index} of {type(self.dataset).__name__}.")
            raise

    @override
    def look_at(self, batch: B, positions: torch.Tensor, epoch: int, gather: Gather[B]) -> None:
        super().look_at(batch, positions, epoch, gather)
        if self._is_compared:
            return
        self._is_compared = True
        once, again = (gather(positions[:1], epoch) for _ in range(2))
        if not _are_equal(once, again):
            log.warning(_NOT_REPRODUCIBLE, int(positions[0]), type(self.dataset).__name__)


@attrs.define
class _Reading:
    """How far an iterable dataset has been read."""

    epoch: int
    position: int
    examples: Iterator[Any]
    generators: Any


class TorchStream(_FromDataset[B], Generic[B]):
    """A torch `IterableDataset` as a split, read in its own order by one process.

    It promises less than `TorchSplit`, because the examples of such a dataset have no index. The
    dataset is iterated anew in every epoch, after the global generators of torch, NumPy and Python
    were seeded by (seed, epoch) and `dataset.set_epoch(epoch)` was called, if it exists. If what it
    yields depends on nothing else, the batches are the same with or without a worker, and a killed
    run resumes exactly, but first reads the earlier examples of the epoch again. Several processes
    that train together each read everything, and keep their shares of every batch. A dataset that
    shards itself by worker sees a single worker; one that shards by rank must be given one rank.
    """

    in_order = True

    def __init__(
        self,
        dataset: IterableDataset[Any],
        collate: Collate[B],
        *,
        batch_size: int,
        shuffle_seed: int | None,
        device: torch.device,
        num_examples: int | None = None,
        num_workers: int = 0,
    ) -> None:
        """Cut what a dataset yields into batches.

        Args:
            dataset: yields the examples of an epoch.
            collate: as for `TorchSplit`.
            batch_size: examples per batch.
            shuffle_seed: seeds the dataset's random draws in every epoch, and drops the last,
                smaller batch; None seeds every epoch alike. The order is the dataset's own.
            device: the training device.
            num_examples: number of examples in an epoch; by default the length of the dataset.
            num_workers: 0 reads while the training waits; any other number means one process,
                which reads ahead.

        Raises:
            UserError: the number of examples is unknown, or they do not fill one batch.
        """
        if num_examples is None:
            if not isinstance(dataset, Sized):
                raise UserError(
                    f"{type(dataset).__name__} has no length. Say how many examples an epoch has: "
                    "TorchStream(…, num_examples=…)."
                )
            num_examples = len(dataset)
        super().__init__(
            collate,
            num_examples,
            batch_size=batch_size,
            shuffle_seed=shuffle_seed,
            device=device,
            num_workers=min(num_workers, 1),
        )
        self.dataset = dataset
        self._reading: _Reading | None = None

    @override
    def order(self, epoch: int) -> torch.Tensor:
        return torch.arange(self.num_examples)

    @override
    def batches(self, epoch: int, start: int = 0) -> Iterator[B]:
        if start:
            log.info(
                "The examples of %s have no index: reading the %d before batch %d again.",
                *(type(self.dataset).__name__, start * self.batch_size, start),
            )
        return super().batches(epoch, start)

    @override
    def read(self, positions: torch.Tensor, epoch: int) -> list[Any]:
        first, end = int(positions[0]), int(positions[-1]) + 1
        reading = self._reading
        if reading is None or reading.epoch != epoch or reading.position > first:
            reading = self._begin(epoch)
        else:
            restore_generators(reading.generators)
        self._reading = None  # in case reading fails
        while reading.position < first:  # trained on before, or another process's share
            self._next(reading)
        examples = [self._next(reading) for _ in range(end - first)]
        reading.generators = generator_states()
        self._reading = reading
        return examples

    def _begin(self, epoch: int) -> _Reading:
        seed_generators(self.seed, epoch)
        if isinstance(self.dataset, _KnowsEpochs):
            self.dataset.set_epoch(epoch)
        return _Reading(epoch, 0, iter(self.dataset), None)

    def _next(self, reading: _Reading) -> Any:
        try:
            example = next(reading.examples)
        except StopIteration:
            raise UserError(
                f"{type(self.dataset).__name__} ended after {reading.position} of "
                f"{self.num_examples} examples in epoch {reading.epoch}. Give a number that every "
                f"epoch has: TorchStream(…, num_examples={reading.position})."
            ) from None
        reading.position += 1
        return example


@runtime_checkable
class _KnowsEpochs(Protocol):
    """An iterable dataset that shuffles by the number of the epoch."""

    def set_epoch(self, epoch: int, /) -> None: ...


def collated(examples: list[Any], collate: Collate[B], positions: torch.Tensor) -> B:
    """Make a batch from examples.

    Raises:
        UserError: they do not fit the class of the batch, or each other.
    """
    if not isinstance(collate, type):
        return collate(examples)
    owner, attributes = collate.__name__, {alias: name for name, alias, _ in fields_of(collate)}
    which = f"example {int(positions[0])}"
    try:
        columns: Any = default_collate(examples)
    except (RuntimeError, TypeError) as error:
        raise UserError(_cannot_collate(error, owner)) from error
    if isinstance(columns, Mapping):
        columns = cast("Mapping[str, Any]", columns)
        for name in columns:
            if name not in attributes:
                raise UserError(
                    f"{which} has '{name}', but {owner} does not. {did_you_mean(name, attributes)}"
                )
        values = dict(columns)
    elif isinstance(columns, tuple | list):
        columns = cast("Sequence[Any]", columns)
        if len(columns) > len(attributes):
            raise UserError(
                f"{which} has {len(columns)} parts, but {owner} has {len(attributes)} attributes: "
                f"{', '.join(attributes)}. {_WRITE_ONE}"
            )
        values = dict(zip(attributes, columns, strict=False))
    else:
        values = {next(iter(attributes)): columns}
    try:
        return cast("B", collate(**values))
    except TypeError as error:
        needed = [f.alias for f in attrs.fields(collate) if f.init and f.default is attrs.NOTHING]
        if missing := [name for name in needed if name not in values]:
            raise UserError(
                f"{which} lacks {', '.join(missing)}, which {owner} needs. {_WRITE_ONE}"
            ) from error
        raise


_WRITE_ONE: Final = "Or give TorchSplit a function that makes a batch from a list of examples."


def _cannot_collate(error: Exception, owner: str) -> str:
    reason = str(error).splitlines()[0].removeprefix("default_collate: ").rstrip(".")
    if "equal size" in reason:
        return (
            f"{owner} cannot stack examples of different sizes into one tensor ({reason}). Bring "
            "them to one size, or give TorchSplit a function that makes a batch from a list of "
            "examples, with Ragged.of([…])."
        )
    return (
        f"{owner} cannot be made from these examples ({reason}). Let the dataset return tensors, "
        f"arrays or numbers, e.g. with a transform such as torchvision's ToTensor. {_WRITE_ONE}"
    )


def _are_equal(once: Batch, again: Batch) -> bool:
    """Whether all tensors of two batches are equal, NaN counting as equal to NaN."""
    pairs = zip(once.tensors(), again.tensors(), strict=True)
    return all(
        one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())
        for one, other in pairs
    )
