"""Data: the interface between a data set and the training loop.

A `DataModule` factory builds `Data`: the Dims, and a `Split` each for training, validation and
test. A split yields batches that are already on the training device. The order of its examples
is a function of (seed, epoch) alone, so that a run can be resumed at any batch.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Self

import attrs
from typing_extensions import TypeVar, override

from runwright.data.parts import (
    Index,
    Part,
    fields_of,
    how_to_share,
    lengths_of,
    select_examples,
    tensors_in,
)
from runwright.dims import Dims
from runwright.errors import UserError
from runwright.factory import Settings, settings

if TYPE_CHECKING:
    import torch

    from runwright.device.runtime import Runtime


@attrs.frozen(kw_only=True)
class Batch(Part):
    """A batch of examples: every tensor attribute has shape (B, …) with the same B.

    An attribute may also be a NumPy array of such a shape, `Ragged`, `SparseRows`, another batch,
    or a dictionary, list or tuple of any of these. What belongs to the batch as a whole is
    declared with `shared()`. Numbers, strings and None are passed on as they are.
    """

    @override
    def __len__(self) -> int:
        import torch

        for name, _, is_shared in fields_of(type(self)):
            value = getattr(self, name)
            if isinstance(value, torch.Tensor) and not is_shared:
                return len(value)
        return next(self._lengths())[1]

    @property
    def device(self) -> "torch.device":
        """The device that the tensors are on."""
        return next(self.tensors()).device

    def tensors(self) -> "Iterator[torch.Tensor]":
        """All tensors in the batch."""
        for name, _, _ in fields_of(type(self)):
            yield from tensors_in(getattr(self, name))

    @override
    def select(self, index: Index) -> Self:
        import torch

        # Every step does this, so plain tensors take the fastest way.
        at = None if isinstance(index, slice) else index
        chosen: dict[str, Any] = {}
        for name, alias, is_shared in fields_of(type(self)):
            value = getattr(self, name)
            if is_shared:
                pass
            elif at is not None and isinstance(value, torch.Tensor):
                value = value.index_select(0, at)  # in a third of the time of value[index]
            else:
                value = select_examples(value, index)
            chosen[alias] = value
        return type(self)(**chosen)

    def to(self, device: "torch.device") -> Self:
        """The same examples on another device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """The same examples in page-locked memory, from which a copy to a GPU need not wait."""
        return self.map(lambda tensor: tensor.pin_memory())

    def check_lengths(self, expected: int | None = None) -> None:
        """Check that every attribute has one entry per example, before examples are selected.

        Args:
            expected: how many examples there should be; by default, as many as the first
                attribute has.

        Raises:
            UserError: the lengths differ; says of which attributes.
        """
        first: tuple[str, int] | None = None
        for name, length in self._lengths():
            first = first or (name, length)
            if length != first[1]:
                raise UserError(_differ(type(self).__name__, *first, name, length))
        if expected is not None and first is not None and first[1] != expected:
            raise UserError(
                f"{type(self).__name__}: `{first[0]}` has {first[1]} entries, for a batch of "
                f"{expected} examples. {_ONE_EACH.format(share=how_to_share(first[0]))}"
            )

    def _lengths(self) -> Iterator[tuple[str, int]]:
        is_empty = True
        for name, _, is_shared in fields_of(type(self)):
            if not is_shared:
                for one in lengths_of(getattr(self, name), name):
                    is_empty = False
                    yield one
        if is_empty:
            raise UserError(f"{type(self).__name__} has no tensor that is not `shared()`.")


_ONE_EACH: Final = (
    "Every attribute needs one entry per example, (B, …). If it belongs to the batch as a whole, "
    "{share}."
)


def _differ(owner: str, one: str, length: int, other: str, other_length: int) -> str:
    """A text on two attributes of a batch with different lengths, and what to do about it."""
    (few, fewer), (many, more) = sorted([(one, length), (other, other_length)], key=lambda x: x[1])
    reshape = ""
    if fewer and more % fewer == 0:
        reshape = f" If there are {more // fewer} for each example, reshape `{many}` to "
        reshape += f"({fewer}, {more // fewer}, …)."
    return (
        f"{owner} cannot be divided into examples: `{one}` has {length} entries, `{other}` has "
        f"{other_length}. {_ONE_EACH.format(share=how_to_share(few))}{reshape}"
    )


D_co = TypeVar("D_co", bound=Dims, default=Any, covariant=True)
B_co = TypeVar("B_co", bound=Batch, default=Any, covariant=True)


class Split(ABC, Generic[B_co]):
    """One part of a data set, cut into batches."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of examples."""

    @property
    @abstractmethod
    def num_batches(self) -> int:
        """The number of batches in an epoch."""

    @abstractmethod
    def batches(self, epoch: int, start: int = 0) -> Iterator[B_co]:
        """Yield the batches of an epoch on the training device, starting at number `start`."""

    def each_once(self) -> "Split[B_co]":
        """The same examples, each once in an epoch; what a `FittedModel` is fitted on.

        By default it is this split.
        """
        return self

    def as_measured(self) -> Self:
        """The same batches as they are measured: without augmentation. By default, this split."""
        return self


class NoExamples(Split[B_co]):
    """A split in the place of one that is not read."""

    @override
    def __len__(self) -> int:
        return 0

    @property
    @override
    def num_batches(self) -> int:
        return 0

    @override
    def batches(self, epoch: int, start: int = 0) -> Iterator[B_co]:
        return iter(())


_OTHER_COLUMNS: Final = ("train", "val", "test", "lr", "epoch", "step")
"""What columns of `metrics.csv` start with, apart from the names of further validation splits."""


@attrs.frozen(kw_only=True)
class Data(Generic[D_co, B_co]):
    """What a data module builds.

    Attributes:
        dims: what the model is built from.
        train: the training examples, reshuffled in every epoch.
        val: the validation examples, always in the same order; None if there are none.
        test: the test examples, likewise.
        also: further validation splits by name. Measures of `unseen` are called `unseen_loss`,
            `unseen_accuracy`, …, just as those of `val` are called `val_loss`, ….
        draw_examples: writes a picture of some training examples to the given path.
    """

    dims: D_co
    train: Split[B_co]
    val: Split[B_co] | None = None
    test: Split[B_co] | None = None
    also: Mapping[str, Split[B_co]] = attrs.field(factory=dict[str, Any])
    draw_examples: Callable[[Path], None] | None = None

    def __attrs_post_init__(self) -> None:
        for name in self.also:
            if self.val is None:
                raise UserError(f"Data.also has '{name}', but there is no val. Set Data.val too.")
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
                raise UserError(
                    f"Data.also: '{name}' cannot be the name of a validation split, because "
                    "columns of metrics.csv start with it. Use a letter, then letters, digits "
                    "and '_'."
                )
        # Otherwise `a_b_loss` could be the loss of `a_b` or the measure `b_loss` of `a`.
        for one, other in permutations((*_OTHER_COLUMNS, *self.also), 2):
            if one == other or other.startswith(f"{one}_"):
                raise UserError(
                    f"Data.also: columns of metrics.csv for '{other}' could not be told apart from "
                    f"those for '{one}'. Give one of them another name."
                )


@settings
class DataModule(Settings, ABC, Generic[D_co, B_co], group="dm"):
    """Interface of data factories; the group `dm`."""

    default_objective: ClassVar[str | None] = None
    """The member of the group `objective` that is used unless the user chooses one."""

    smaller_examples: ClassVar[str] = "smaller examples"
    """What to suggest when memory runs out; names the option, if there is one."""

    def check_sources(self) -> None:
        """Check that the files to read are there, before a run directory is made.

        It is called where they are read, so it must take no time: `build` reads them.

        Raises:
            UserError: they are not; says where they should be.
        """

    @abstractmethod
    def build(self, runtime: "Runtime") -> Data[D_co, B_co]:
        """Read the data.

        Raises:
            UserError: the data are missing or damaged; says where they should be.
        """

    def without_examples(self, runtime: "Runtime") -> Data[D_co, B_co]:
        """The Dims as the training kept them, for stages that need no examples of its data.

        By default these are built all the same.

        Raises:
            UserError: the training has not kept them.
        """
        return self.build(runtime)

    def expected_dims(self) -> D_co | None:
        """The Dims, if they follow from the options alone; `check` builds models from them."""
        return None
