"""Whether the values of options have the types that were declared.

Where a configuration is composed, OmegaConf sees to that. This is for values given in Python.
"""

import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any, cast

from runwright.errors import nearest
from runwright.factory import Settings, full_key

_CONTAINERS = (list, tuple, Sequence)


def mistyped(settings: Settings, key: str = "") -> dict[str, str]:
    """What has another type than it should, by its full key, a sentence each."""
    hints = typing.get_type_hints(type(settings))
    wrong: dict[str, str] = {}
    for field in dataclasses.fields(cast("Any", settings)):
        value, hint = getattr(settings, field.name), hints[field.name]
        full = full_key(key, field.name)
        if not _fits(value, hint):
            wrong[full] = f"{full} {_demand(value, hint)}"
            continue
        for place, part in _parts(value, full):
            wrong |= mistyped(part, place)
    return wrong


def _parts(value: object, key: str) -> Iterator[tuple[str, Settings]]:
    """What has options of its own, with its full key: the value, or members of a list."""
    if isinstance(value, Settings):
        yield key, value
    elif isinstance(value, list | tuple):
        for index, member in enumerate(cast("Sequence[object]", value)):
            yield from _parts(member, f"{key}[{index}]")


def _fits(value: object, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, kind) for kind in arguments)
    if origin is typing.Literal:
        return any(value == one and type(value) is type(one) for one in arguments)
    kind = origin or hint
    if kind is Any or not inspect.isclass(kind):  # or a type variable: nothing is demanded
        return True
    if kind in _CONTAINERS and isinstance(value, list | tuple):
        members = [one for one in arguments if one is not ...] or [Any]
        return all(any(_fits(v, one) for one in members) for v in cast("Sequence[object]", value))
    fits = _is_a(value, kind)
    if fits and isinstance(value, dict) and arguments:
        items = cast("dict[object, object]", value).items()
        return all(_fits(k, arguments[0]) and _fits(v, arguments[1]) for k, v in items)
    return fits


def _is_a(value: object, kind: type[Any]) -> bool:
    if kind in (int, float) and isinstance(value, bool):  # which Python takes for an int
        return False
    return isinstance(value, int | float if kind is float else kind)


def _demand(value: object, hint: Any) -> str:
    """What is wrong with a value, and what is allowed."""
    if not (allowed := _names(hint)):
        return f"must be {_written(hint)}, got {value!r}"
    closest = nearest(str(value), allowed)
    meant = f"Did you mean '{allowed[closest]}'? " if closest else ""
    return f"cannot be {value!r}. {meant}Allowed: {', '.join(allowed.values())}."


def _names(hint: Any) -> dict[str, str]:
    """The values that a type allows, where they are a few, by name, as they stand in Python."""
    if isinstance(hint, enum.EnumType):
        return {name: f"{hint.__name__}.{name}" for name in hint.__members__}
    if typing.get_origin(hint) is typing.Literal:
        return {str(value): str(value) for value in typing.get_args(hint)}
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return {}
    kinds = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
    return _names(kinds[0]) if len(kinds) == 1 else {}


def _written(hint: Any) -> str:
    """A type as it is written: `int | None`."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " | ".join(_written(kind) for kind in typing.get_args(hint))
    if hint is types.NoneType:
        return "None"
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
