"""Nested values as a checkpoint can hold them: tensors by name, and the rest as JSON has it."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import torch
from torch import Tensor

from runwright.errors import UserError

# What JSON does not have is a dictionary of one of these and its content.
_TENSOR: Final = "tensor"
_TUPLE: Final = "tuple"
_ITEMS: Final = "items"


def pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """A value without its tensors, which go into `tensors` under names that begin with `name`.

    Numbers, strings and lists of them stay what they are.

    Raises:
        UserError: there is something in it that cannot be saved.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        tensors[name] = value
        return {_TENSOR: name}
    if isinstance(value, list | tuple):
        members = enumerate(cast("list[Any]", value))
        packed = [pack(member, f"{name}.{index}", tensors) for index, member in members]
        return {_TUPLE: packed} if isinstance(value, tuple) else packed
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {
            _ITEMS: [
                [pack(key, name, tensors), pack(member, f"{name}.{key}", tensors)]
                for key, member in items
            ]
        }
    raise UserError(
        f"{name} is a {type(value).__name__}, which a checkpoint cannot hold. A state consists of "
        "tensors, numbers, strings, and lists and dictionaries of them."
    )


def unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The value that `pack` was given."""
    if isinstance(packed, list):
        return [unpack(member, tensors) for member in cast("list[Any]", packed)]
    if not isinstance(packed, dict):
        return packed
    ((kind, content),) = cast("dict[str, Any]", packed).items()
    if kind == _TENSOR:
        return tensors[content]
    if kind == _TUPLE:
        return tuple(unpack(content, tensors))
    return {unpack(key, tensors): unpack(member, tensors) for key, member in content}


def references(packed: Any) -> Iterator[str]:
    """The names of the tensors that a packed value refers to."""
    if isinstance(packed, list):
        for member in cast("list[Any]", packed):
            yield from references(member)
    elif isinstance(packed, dict):
        ((kind, content),) = cast("dict[str, Any]", packed).items()
        yield from [content] if kind == _TENSOR else references(content)


def is_equal(one: Any, other: Any) -> bool:
    """Whether two values are equal, tensors in them included."""
    if one is other:  # whatever it is
        return True
    mine: dict[str, Tensor] = {}
    theirs: dict[str, Tensor] = {}
    if pack(one, "", mine) != pack(other, "", theirs) or mine.keys() != theirs.keys():
        return False
    return all(torch.equal(mine[name], theirs[name]) for name in mine)
