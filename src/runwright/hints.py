"""Type hints: whether a value fits one, what it allows, and how it is written."""

import dataclasses
import enum
import inspect
import itertools
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

from runwright.errors import nearest

_CONTAINERS: Final = (list, tuple, Sequence)
_SCALARS: Final = (str, int, float, bytes, Path, enum.Enum, types.NoneType)
_MOST_NAMES: Final = 12
_NAMES: Final[dict[Any, str]] = {type(None): "null", Path: "path", Any: "any"}
_IN_WORDS: Final[dict[Any, str]] = {
    int: "an integer",
    float: "a number",
    str: "text",
    Path: "a path",
    type(None): "null",
    Any: "anything",
}


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type that a hint is."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def is_optional(hint: Any) -> bool:
    """Whether None is allowed."""
    return types.NoneType in alternatives(hint)


def fits(value: object, hint: Any) -> bool:
    """Whether a value has a type; in a composed configuration, OmegaConf checks that."""
    kinds = alternatives(hint)
    if len(kinds) > 1:
        return any(fits(value, kind) for kind in kinds)
    arguments = typing.get_args(hint)
    kind = typing.get_origin(hint) or hint
    if kind is typing.Literal:
        return any(value == one and type(value) is type(one) for one in arguments)
    if kind is Any or not inspect.isclass(kind):  # or a type variable: nothing is demanded
        return True
    if kind in _CONTAINERS and isinstance(value, list | tuple):
        members = [one for one in arguments if one is not ...] or [Any]
        return all(any(fits(v, one) for one in members) for v in cast("Sequence[object]", value))
    if isinstance(value, dict) and kind is dict and arguments:
        items = cast("dict[object, object]", value).items()
        return all(fits(k, arguments[0]) and fits(v, arguments[1]) for k, v in items)
    return _is_a(cast("object", value), kind)


def _is_a(value: object, kind: type[Any]) -> bool:
    if kind in (int, float) and isinstance(value, bool):  # which Python takes for an int
        return False
    return isinstance(value, int | float if kind is float else kind)


def demand(value: object, hint: Any) -> str:
    """What is wrong with a value, and what is allowed."""
    if not (allowed := _few_values(hint)):
        return f"must be {_in_python(hint)}, got {value!r}"
    closest = nearest(str(value), allowed)
    meant = f"Did you mean '{allowed[closest]}'? " if closest else ""
    return f"cannot be {value!r}. {meant}Allowed: {', '.join(allowed.values())}."


def _few_values(hint: Any) -> dict[str, str]:
    """The values that a type allows, if they are few: name → how it is written in Python."""
    kinds = [kind for kind in alternatives(hint) if kind is not types.NoneType]
    if len(kinds) != 1:
        return {}
    (kind,) = kinds
    if isinstance(kind, enum.EnumType):
        return {name: f"{kind.__name__}.{name}" for name in kind.__members__}
    if typing.get_origin(kind) is typing.Literal:
        return {str(value): str(value) for value in typing.get_args(kind)}
    return {}


def names_in(hint: Any) -> list[str]:
    """Every name that a type allows somewhere: an enum's, aliases included, or a Literal's."""
    if isinstance(hint, enum.EnumType):
        return list(hint.__members__)
    if typing.get_origin(hint) is typing.Literal:
        return [str(value) for value in typing.get_args(hint)]
    return [name for kind in typing.get_args(hint) for name in names_in(kind)]


def is_scalar(hint: Any) -> bool:
    """Whether a type takes neither a list nor a dictionary, nor options of their own."""
    return all(
        typing.get_origin(kind) is typing.Literal
        or (inspect.isclass(kind) and issubclass(kind, _SCALARS))
        for kind in alternatives(hint)
    )


def takes_list(hint: Any) -> bool:
    """Whether a type takes a list."""
    return any(
        kind is Any or (typing.get_origin(kind) or kind) in _CONTAINERS
        for kind in alternatives(hint)
    )


def takes_dictionary(hint: Any) -> bool:
    """Whether a type takes a dictionary, or has options of its own."""
    return any(
        kind is Any or (typing.get_origin(kind) or kind) is dict or dataclasses.is_dataclass(kind)
        for kind in alternatives(hint)
    )


def scalars_in(hint: Any) -> Iterator[Any]:
    """The types that are neither a union nor a container, in the order they are written."""
    arguments = typing.get_args(hint)
    if not arguments or typing.get_origin(hint) is typing.Literal:
        yield hint
        return
    for kind in arguments:
        yield from scalars_in(kind)


def written(hint: Any) -> str:
    """A type as written for a user: `int | null`, `path`, `GELU | RELU`, `list[int]`."""
    kinds = alternatives(hint)
    if len(kinds) > 1:
        return " | ".join(written(kind) for kind in kinds)
    arguments = typing.get_args(hint)
    origin: Any = typing.get_origin(hint)
    if origin is typing.Literal:
        return " | ".join(str(argument) for argument in arguments)
    if isinstance(hint, enum.EnumType):
        names = [member.name for member in cast("type[enum.Enum]", hint)]
        if len(names) > _MOST_NAMES:
            return f"one of {len(names)}: {names[0]} … {names[-1]}"
        return " | ".join(names)
    if origin is not None:  # list[int], dict[str, float]
        return f"{origin.__name__}[{', '.join(map(written, arguments))}]"
    return _NAMES.get(hint) or getattr(hint, "__name__", str(hint))


def in_words(hint: Any, bounds: str = "") -> str:
    """What an option of a type takes, in a sentence: "a number > 0 or null", "one of a, b".

    Args:
        hint: the type.
        bounds: the bounds of its numbers, e.g. "≥ 0, < 1".
    """
    kinds = alternatives(hint)
    named = [name for kind in kinds for name in _names_of(kind)]
    others = [kind for kind in kinds if not _names_of(kind)]
    if not set(others) - {types.NoneType} and len(named) > 1:
        names = [*named, *["null"] * (types.NoneType in others)]
        if len(names) > _MOST_NAMES:
            return f"one of {len(names)} names, {names[0]} to {names[-1]}"
        return f"one of {', '.join(names)}"
    if float in others:  # which takes what int takes
        others = [kind for kind in others if kind is not int]
    words = [["true", "false"] if kind is bool else [_a(kind, bounds)] for kind in others]
    *before, last = dict.fromkeys([*named, *itertools.chain(*words)])
    comma = "," if "," in bounds else ""
    return f"{', '.join(before)}{comma} or {last}" if before else last


def _names_of(kind: Any) -> list[str]:
    """The names that one type of a union allows; none if it allows more than names."""
    if isinstance(kind, enum.EnumType):
        return [member.name for member in cast("type[enum.Enum]", kind)]
    return names_in(kind) if typing.get_origin(kind) is typing.Literal else []


def _a(kind: Any, bounds: str) -> str:
    """What one type of a union takes: "an integer ≥ 1", "a list of paths"."""
    origin = typing.get_origin(kind) or kind
    if dataclasses.is_dataclass(kind):
        return "options"
    if origin in _CONTAINERS:
        members = [one for one in typing.get_args(kind) if one is not ...]
        return f"a list of {plural(members[0], bounds)}" if members else "a list"
    if origin is dict:
        return "a dictionary"
    said = _IN_WORDS.get(origin, written(kind))
    return f"{said} {bounds}" if bounds and origin in (int, float) else said


def plural(hint: Any, bounds: str = "") -> str:
    """What a container of members of a type has: "integers ≥ 1", "numbers or texts"."""
    said = {int: "integers", float: "numbers", str: "texts", Path: "paths"}.get(hint)
    if said is None:
        return "options" if dataclasses.is_dataclass(hint) else "values"
    return f"{said} {bounds}" if bounds and hint in (int, float) else said


def _in_python(hint: Any) -> str:
    """A type as it is written in Python: `int | None`."""
    kinds = alternatives(hint)
    if len(kinds) > 1:
        return " | ".join(_in_python(kind) for kind in kinds)
    if hint is types.NoneType:
        return "None"
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
