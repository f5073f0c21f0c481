"""What a batch is made of: tensors, and objects that hold some, e.g. sets of different sizes.

Importing this module does not load torch.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, cast

import attrs

from runwright.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Index: TypeAlias = "torch.Tensor | slice"
"""Which examples to select: a slice, or integers of shape (K,)."""

_SHARED: Final = "runwright.shared"


def shared(**kwargs: Any) -> Any:
    """Declare an attribute that belongs to a batch as a whole, not to single examples.

    It moves to the device with the batch, and is unchanged when examples are selected:

        @attrs.frozen(kw_only=True)
        class GraphBatch(Batch):
            features: Tensor  # (B, F)
            adjacency: Tensor = shared()  # (F, F), the same for all

    Args:
        **kwargs: passed to `attrs.field`, e.g. `default`.
    """
    return attrs.field(metadata={_SHARED: True}, **kwargs)


def how_to_share(name: str) -> str:
    """What to do with a part of a batch that belongs to the batch as a whole, e.g. `pair[0].x`."""
    if name.isidentifier():
        return f"declare it as `{name} = shared()`"
    return "give it an attribute of its own, declared as `shared()`"


class Part(ABC):
    """An attrs class that holds tensors and can select some of its examples."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of examples."""

    @abstractmethod
    def select(self, index: Index) -> Self:
        """The examples at `index`: a slice, or integers of shape (K,)."""

    def map(self, function: "Callable[[Tensor], Tensor]") -> Self:
        """A copy with `function` applied to every tensor."""
        return type(self)(
            **{
                alias: map_tensors(getattr(self, name), function)
                for name, alias, _ in fields_of(type(self))
            }
        )


@cache
def fields_of(cls: type[Any]) -> tuple[tuple[str, str, bool], ...]:
    """The attributes of an attrs class: (name, name in `__init__`, whether it is `shared()`)."""
    return tuple(
        (field.name, field.alias or field.name, _SHARED in field.metadata)
        for field in attrs.fields(cls)
        if field.init
    )


def map_tensors(value: Any, function: "Callable[[Tensor], Tensor]") -> Any:
    """A copy of a value with `function` applied to every tensor in it."""
    import torch

    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, Part):
        return value.map(function)
    return _rebuilt(value, lambda member: map_tensors(member, function))


def select_examples(value: Any, index: Index) -> Any:
    """Select examples of a value: tensors, arrays, parts, and containers of them."""
    import numpy as np
    import torch

    if isinstance(value, torch.Tensor):
        # index_select takes a third of the time of value[index].
        return value[index] if isinstance(index, slice) else value.index_select(0, index)
    if isinstance(value, Part):
        return value.select(index)
    if isinstance(value, np.ndarray):
        at = index if isinstance(index, slice) else index.cpu().numpy()
        return cast("Any", value)[at]
    return _rebuilt(value, lambda member: select_examples(member, index))


def _rebuilt(value: Any, change: Callable[[Any], Any]) -> Any:
    """A copy of a container with its members changed; anything else is returned as it is."""
    if isinstance(value, dict):
        members = cast("dict[Any, Any]", value)
        return {key: change(member) for key, member in members.items()}
    if isinstance(value, list):
        return [change(member) for member in cast("list[Any]", value)]
    if isinstance(value, tuple):
        members = tuple(change(member) for member in cast("tuple[Any, ...]", value))
        is_named = hasattr(cast("Any", value), "_fields")
        return cast("Any", value).__class__(*members) if is_named else members
    return value


def tensors_in(value: Any) -> "Iterator[Tensor]":
    """All tensors in a value."""
    found: list[Tensor] = []

    def note(tensor: "Tensor") -> "Tensor":
        found.append(tensor)
        return tensor

    map_tensors(value, note)
    yield from found


def lengths_of(value: Any, name: str) -> Iterator[tuple[str, int]]:
    """The number of examples of each tensor, array and part in a value: (name, length).

    Raises:
        UserError: examples cannot be selected from something in the value.
    """
    import numpy as np
    import torch

    if isinstance(value, torch.Tensor) and value.layout is not torch.strided:
        raise UserError(
            f"`{name}` is a sparse torch tensor, whose rows torch cannot select. Use "
            "runwright.SparseRows, and call its dense() on the device."
        )
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim == 0:
        raise UserError(
            f"`{name}` has shape (), so it has no entry per example. If it belongs to the batch as "
            f"a whole, {how_to_share(name)}."
        )
    if isinstance(value, torch.Tensor | np.ndarray | Part):
        yield name, len(cast("Any", value))
    elif isinstance(value, dict):
        for key, member in cast("dict[Any, Any]", value).items():
            yield from lengths_of(member, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        members = cast("list[Any] | tuple[Any, ...]", value)
        found = [one for i, part in enumerate(members) for one in lengths_of(part, f"{name}[{i}]")]
        if members and not found:
            raise UserError(
                f"`{name}` is a {type(members).__name__} of {type(members[0]).__name__}, so it is "
                "unclear whether it has one entry per example. If it does, use a NumPy array; if "
                f"it belongs to the batch as a whole, {how_to_share(name)}."
            )
        yield from found
