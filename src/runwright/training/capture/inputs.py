"""The batches of a captured step, in tensors that stay where they are."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Generic, TypeAlias, TypeVar, cast

import attrs
import numpy as np
import torch
from torch import Tensor

from runwright.data import Batch, Split
from runwright.data.batching import InMemory
from runwright.data.parts import Part, fields_of, tensors_in
from runwright.data.ragged import Ragged, SparseRows
from runwright.training.splits import FirstBatches

B = TypeVar("B", bound=Batch)


@attrs.frozen
class Picked(Generic[B]):
    """A batch that is yet to be gathered: examples on the device, and which of them."""

    examples: B
    positions: Tensor

    def gather(self) -> B:
        """The batch."""
        return self.examples.select(self.positions)


Taken: TypeAlias = "B | Picked[B]"


def gathered(taken: "Taken[B]") -> B:
    """The batch itself."""
    return taken.gather() if isinstance(taken, Picked) else taken


def batches_to_gather(split: Split[B], epoch: int, start: int) -> "Iterator[Taken[B]]":
    """The batches of an epoch; of examples on the device only which are in each, where possible.

    To gather them is then part of the captured step.
    """
    if isinstance(split, FirstBatches) and isinstance(split.split, InMemory):
        there = batches_to_gather(split.split, 0 if split.same_every_epoch else epoch, start)
        return islice(there, split.num_batches - start)
    # A subclass may do more to its batches.
    if isinstance(split, InMemory) and type(split).batches is InMemory.batches:
        examples = split.examples
        if split.shuffle_seed is not None and _is_on_device(examples):
            return (Picked(examples, one) for one in split.positions(epoch, start))
    return split.batches(epoch, start)


def _is_on_device(value: Any) -> bool:
    """Whether some examples of a value can be selected without waiting for the device."""
    if isinstance(value, np.ndarray | Ragged | SparseRows):
        return False
    if isinstance(value, Part):
        return all(_is_on_device(getattr(value, name)) for name, _, _ in fields_of(type(value)))
    if isinstance(value, dict):
        return all(map(_is_on_device, cast("dict[Any, Any]", value).values()))
    return not isinstance(value, list | tuple) or all(map(_is_on_device, cast("list[Any]", value)))


class Inputs(Generic[B]):
    """The batches that a captured step reads, each time with other values."""

    def __init__(self, taken: "Sequence[Taken[B]]") -> None:
        """Make room for batches like these, and put them there."""
        self._static: list[Taken[B]] = [_map(one, torch.clone) for one in taken]
        self._read: set[str] = set()
        self._like: list[object] = []
        self._taken = list(taken)
        self._note()

    def fits(self, taken: "Sequence[Taken[B]]") -> bool:
        """Whether these differ from the first ones in nothing but the values of tensors.

        Attributes that the step has not read, such as names that only an evaluation needs, may
        differ if they hold no tensor.
        """
        return [_kind(one, self._read) for one in taken] == self._like

    def fill(self, taken: "Sequence[Taken[B]]") -> None:
        """Take over the values of these batches, which fit."""
        for place, one in zip(self._static, taken, strict=True):
            for mine, its in zip(_tensors(place), _tensors(one), strict=True):
                mine.copy_(its)

    def batches(self) -> Iterator[B]:
        """The batches, to be captured."""
        yield from map(gathered, self._static)

    def watched(self) -> Iterator[B]:
        """The same; what the step reads of them is noted."""
        for one in self.batches():
            yield _watched(one, self._read)
        self._note()

    def _note(self) -> None:
        self._like = [_kind(one, self._read) for one in self._taken]


def _map(taken: "Taken[B]", function: Any) -> "Taken[B]":
    if isinstance(taken, Picked):
        return Picked(taken.examples, function(taken.positions))
    return taken.map(function)


def _tensors(taken: "Taken[Any]") -> Iterator[Tensor]:
    return iter((taken.positions,)) if isinstance(taken, Picked) else taken.tensors()


def _kind(taken: Batch | Picked[Any], read: set[str]) -> object:
    """What must be the same in every replay."""
    if isinstance(taken, Picked):
        return id(cast("Batch", taken.examples)), taken.positions.shape
    kinds: list[object] = [type(taken)]
    for name, _, _ in fields_of(type(taken)):
        value = getattr(taken, name)
        if isinstance(value, Tensor):
            kinds.append((value.shape, value.dtype, value.stride()))
        elif name in read or any(True for _ in tensors_in(value)):
            kinds.append(kind_of(value))
    return kinds


def kind_of(value: Any) -> object:
    """What of a value must be the same in every replay: of tensors all but their values."""
    if isinstance(value, Tensor):
        return value.shape, value.dtype, value.stride()
    if isinstance(value, Part):
        names = fields_of(type(value))
        return type(value), [kind_of(getattr(value, name)) for name, _, _ in names]
    if isinstance(value, dict):
        members = cast("dict[object, Any]", value)
        return {key: kind_of(member) for key, member in members.items()}
    if isinstance(value, list | tuple):
        return [kind_of(member) for member in cast("list[Any]", value)]
    if isinstance(value, np.ndarray):
        array = cast("np.ndarray[Any, Any]", value)
        return array.shape, array.dtype, array.tolist()
    return value


def _watched(batch: B, read: set[str]) -> B:
    """The same batch, which notes what is read of it."""
    of = type(batch)

    class Watched(of):
        def __getattribute__(self, name: str) -> Any:
            read.add(name)
            return super().__getattribute__(name)

    Watched.__name__, Watched.__qualname__ = of.__name__, of.__qualname__
    before = set(read)
    made = Watched(**{alias: getattr(batch, name) for name, alias, _ in fields_of(of)})
    read.intersection_update(before)  # to make it, all of it is read
    return cast("Any", made)
