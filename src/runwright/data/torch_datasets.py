"""Datasets of torch's as splits: their order and all that they draw can be had again exactly."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

import attrs
import torch
from torch.utils.data import (
    Dataset,
    IterableDataset,
    default_collate,  # pyright: ignore[reportUnknownVariableType]
)
from typing_extensions import override

from runwright.data.interface import Batch
from runwright.data.parts import fields_of
from runwright.data.streaming import Gather, Streamed
from runwright.errors import UserError, did_you_mean
from runwright.generators import (
    generator_states,
    generators_kept,
    restore_generators,
    seed_generators,
)

log = logging.getLogger(__name__)

B = TypeVar("B", bound=Batch)

Collate: TypeAlias = type[B] | Callable[[list[Any]], B]
"""What makes a batch of examples: the class of the batch, or a function."""


_NOT_THE_SAME: Final = (
    "Example %d of %s is not the same when it is read twice: it draws from another generator than "
    "the global ones of torch, NumPy and Python, which are seeded for every example, or changes "
    "what it reads. So a run that is killed will not go on exactly, and workers change the batches."
)


class _FromDataset(Streamed[B], Generic[B]):
    """What is common to both kinds of datasets: draws from global generators, and collating.

    Transforms draw from the global generators of Python, NumPy and torch. Here they find them as a
    function of what is read, and the training finds its own unchanged. That needs a thread's time
    for itself: without workers, batches are gathered while the training waits.
    """

    in_turns = True

    def __init__(self, collate: Collate[B], num_examples: int, **how: Any) -> None:
        super().__init__(num_examples, **how)
        self.collate = collate

    @property
    def seed(self) -> int:
        """What the draws depend on; the same for all runs where the order is kept."""
        return self.shuffle_seed if self.shuffle_seed is not None else 0

    @override
    def gather(self, positions: torch.Tensor, epoch: int) -> B:
        with generators_kept():
            examples = self.read(positions, epoch if self.shuffle_seed is not None else 0)
        return collated(examples, self.collate, positions)

    @abstractmethod
    def read(self, positions: torch.Tensor, epoch: int) -> list[Any]:
        """The examples at these positions; may leave the global generators as it likes."""


class TorchSplit(_FromDataset[B], Generic[B]):
    """A map-style torch `Dataset` as a split: `dataset[i]` is an example, transforms included.

    The order of the examples is a function of (seed, epoch), and whatever `dataset[i]` draws from
    the global generators of torch, NumPy or Python (on the CPU) is one of (seed, epoch, i). So the
    batches are the same with any number of workers, and a run that was killed goes on exactly,
    without reading what came before. Without a seed every epoch has the same order and draws. What
    a dataset draws from a generator of its own, or changes in itself, is not under control.
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
            dataset: has a length, and gives an example for each index.
            collate: the class of the batch, whose attributes are those of an example: by name if
                it is a dictionary, in order if it is a tuple. Or a function that makes a batch of a
                list of examples.
            batch_size: examples a batch.
            shuffle_seed: shuffles anew in every epoch, and drops the last, smaller batch; None
                keeps the order and all examples.
            device: where the batches are wanted.
            num_workers: processes that read examples; 0 reads while the training waits.

        Raises:
            UserError: the dataset has no length, or does not fill one batch.
        """
        if isinstance(dataset, IterableDataset):
            raise UserError(
                f"{type(dataset).__name__} is an IterableDataset, which has no example number i: "
                "take TorchStream, which reads it in its own order."
            )
        if not isinstance(dataset, Sized):
            raise UserError(f"{type(dataset).__name__} has no length: define __len__.")
        super().__init__(
            collate,
            len(dataset),
            batch_size=batch_size,
            shuffle_seed=shuffle_seed,
            device=device,
            num_workers=num_workers,
        )
        self.dataset = dataset
        self._is_compared = False

    @override
    def read(self, positions: torch.Tensor, epoch: int) -> list[Any]:
        examples: list[Any] = []
        for index in cast("list[int]", positions.tolist()):
            seed_generators(self.seed, epoch, index)
            try:
                examples.append(self.dataset[index])
            except Exception as error:
                error.add_note(
                    f"It was raised by example {index} of {type(self.dataset).__name__}."
                )
                raise
        return examples

    @override
    def look_at(self, batch: B, positions: torch.Tensor, epoch: int, gather: Gather[B]) -> None:
        super().look_at(batch, positions, epoch, gather)
        if self._is_compared:
            return
        self._is_compared = True
        once, again = (gather(positions[:1], epoch) for _ in range(2))
        if not _are_equal(once, again):
            log.warning(_NOT_THE_SAME, int(positions[0]), type(self.dataset).__name__)


@attrs.define
class _Reading:
    """How far an iterable dataset has been read."""

    epoch: int
    position: int
    examples: Iterator[Any]
    generators: Any


class TorchStream(_FromDataset[B], Generic[B]):
    """A torch `IterableDataset` as a split, read in its own order by one process.

    What can be promised is less than for `TorchSplit`, because such a dataset has no example number
    i. It is iterated anew in every epoch, with the global generators of torch, NumPy and Python
    seeded by (seed, epoch) before, and with `dataset.set_epoch(epoch)` if there is one. If what it
    yields then depends on nothing else, the batches are the same with or without a worker, and a
    run that was killed goes on exactly; but it first reads again what the epoch had before. Several
    processes that train together each read all of it, and keep their shares of every batch. A
    dataset that shards itself, by worker or by rank, finds one worker and must be told one rank.
    """

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
            batch_size: examples a batch.
            shuffle_seed: seeds what the dataset draws, anew in every epoch, and drops the last,
                smaller batch; None seeds every epoch alike. The order is the dataset's own.
            device: where the batches are wanted.
            num_examples: how many of them are an epoch; by default the length of the dataset.
            num_workers: 0 reads while the training waits; any more is one process, which reads
                ahead.

        Raises:
            UserError: it is not known how many examples there are, or they do not fill one batch.
        """
        if num_examples is None:
            if not isinstance(dataset, Sized):
                raise UserError(
                    f"{type(dataset).__name__} has no length: say how many of its examples are an "
                    "epoch, TorchStream(…, num_examples=…)."
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
                "%s has no example number i: reading again the %d before batch %d.",
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
        self._reading = None  # unless it comes to its end
        while reading.position < first:  # read before, or another process's share
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
                f"{type(self.dataset).__name__} ended after {reading.position} examples of epoch "
                f"{reading.epoch}, of {self.num_examples}. Say how many there are in every epoch, "
                f"TorchStream(…, num_examples={reading.position})."
            ) from None
        reading.position += 1
        return example


@runtime_checkable
class _KnowsEpochs(Protocol):
    """An iterable dataset that shuffles by the number of the epoch."""

    def set_epoch(self, epoch: int, /) -> None: ...


def collated(examples: list[Any], collate: Collate[B], positions: torch.Tensor) -> B:
    """A batch of examples.

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
                    f"{which} has '{name}', which {owner} has not. {did_you_mean(name, attributes)}"
                )
        values = dict(columns)
    elif isinstance(columns, tuple | list):
        columns = cast("Sequence[Any]", columns)
        if len(columns) > len(attributes):
            raise UserError(
                f"{which} has {len(columns)} parts, and {owner} {len(attributes)} attributes: "
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
                f"{which} has nothing for {', '.join(missing)} of {owner}. {_WRITE_ONE}"
            ) from error
        raise


_WRITE_ONE: Final = "Or give TorchSplit a function that makes a batch of a list of examples."


def _cannot_collate(error: Exception, owner: str) -> str:
    said = str(error).splitlines()[0].removeprefix("default_collate: ").rstrip(".")
    if "equal size" in said:
        return (
            f"Examples of different sizes cannot be stacked to one tensor of {owner} ({said}). "
            "Bring them to one size, or give TorchSplit a function that makes a batch of a list of "
            "examples, with Ragged.of([…])."
        )
    return (
        f"No {owner} can be made of these examples ({said}). Let the dataset return "
        "tensors, arrays or numbers, e.g. by a transform such as torchvision's ToTensor. "
        f"{_WRITE_ONE}"
    )


def _are_equal(once: Batch, again: Batch) -> bool:
    """Whether all tensors of two batches are equal, NaN where there is NaN."""
    pairs = zip(once.tensors(), again.tensors(), strict=True)
    return all(
        one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())
        for one, other in pairs
    )
