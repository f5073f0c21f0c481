"""The sentence for a value that an option does not take: what it takes, and what it was given."""

import re
import typing
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from runwright import hints
from runwright.compose.typed_nodes import option_types, type_of, typed_steps
from runwright.errors import nearest
from runwright.factory import described, full_key
from runwright.factory.option import Option, is_declared
from runwright.plain import shown


def hint_at(key: str, composed: DictConfig) -> Any:
    """The type that is declared for an option, or for what lies in its container; or None."""
    return declaration_at(key, composed)[0]


def declaration_at(key: str, composed: DictConfig) -> tuple[Any, Option | None]:
    """The type and the declaration of an option, or those for what lies in its container.

    The type is None where there is no such option, the declaration for Hydra's own options.
    """
    for path, node, name in typed_steps(key, composed):
        cls = type_of(node)
        if (field := cls.__dataclass_fields__.get(name)) is None:
            continue
        hint = option_types(cls)[name]
        declared = described(field) if is_declared(field) else None
        if path == key:
            return hint, declared
        is_right_below = f"{path}." == key[: len(path) + 1] and "." not in key[len(path) + 1 :]
        if is_right_below and (inner := member_hint(hint, dict, list)) is not None:
            return inner, declared
    return None, None


def member_hint(hint: Any, *containers: type) -> Any:
    """The type of what lies in a container of one of these types; None where none is declared."""
    for kind in hints.alternatives(hint):
        if (origin := typing.get_origin(kind)) in containers and typing.get_args(kind):
            return typing.get_args(kind)[1 if origin is dict else 0]
    return None


def key_and_member(hint: Any) -> tuple[Any, Any]:
    """The types of the keys and of the values of a dictionary; Any where none are declared."""
    for kind in hints.alternatives(hint):
        if typing.get_origin(kind) is dict and typing.get_args(kind):
            return typing.get_args(kind)
    return Any, Any


def is_number_for_flag(value: object, hint: Any) -> bool:
    """Whether this is a number where only true or false fit: OmegaConf takes it for one of them."""
    if isinstance(value, str):
        is_number = re.fullmatch(r"\s*[-+]?\d+\s*", value) is not None
    else:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
    kinds = set(hints.scalars_in(hint))
    return is_number and bool in kinds and not kinds & {int, float, str, Path, Any}


def wrong_value(key: str, value: Any, hint: Any, option: Option | None, *, source: str = "") -> str:
    """The sentence for a value that has another type than its option.

    Args:
        key: the full key of the option, or of a member of a list or dictionary.
        value: what it was given.
        hint: its type.
        option: the declaration of the option, for its bounds and choices.
        source: where the value is from, if it was not given itself: " from ${seed}".
    """
    if option is not None and option.choices:
        named = typing.Literal[option.choices]  # which `str` stands for
        kinds = [named if kind is str else kind for kind in hints.alternatives(hint)]
        hint = typing.Union[tuple(kinds)]  # noqa: UP007  # of as many as there are
    bounds = "" if option is None else option.bounds
    said = f"{key} must be {hints.in_words(hint, bounds)}, got {shown(value)}{source}"
    if isinstance(value, str):
        closest = nearest(value, hints.names_in(hint))
        return f"{said}. Did you mean '{closest}'?" if closest else said
    return said + _form(value, hint)


def _form(value: Any, hint: Any) -> str:
    """How to write what was meant, for a list in the place of a dictionary or the reverse."""
    if isinstance(value, dict) and hints.takes_list(hint):
        return ". A list is written [A, B]."
    if isinstance(value, list) and hints.takes_dictionary(hint):
        return ". A dictionary is written {KEY: VALUE}."
    return ""


def wrong_key(key: str, name: object, kind: Any) -> str | None:
    """The sentence for a key that a dictionary cannot have; None if it can.

    Args:
        key: the full key of the dictionary.
        name: the key in it; for a number, the number or its digits.
        kind: the type of its keys.
    """
    fits = hints.fits(name, kind) or (kind is int and re.fullmatch(r"-?\d+", str(name)))
    if fits:
        return None
    place = full_key(key, str(name))
    return f"{place}: the keys of {key} must be {hints.plural(kind)}, got {shown(name)}"


def not_a_container(key: str, hint: Any, value: object, given: str, sign: str) -> str | None:
    """The text for a single value that was given to a list or a dictionary.

    Args:
        key: the full key of the option.
        hint: its type.
        value: the value.
        given: the value as it was written.
        sign: what stands between a key and a value where it was written: "=", or ": " in a file.
    """
    typed = key if sign == "=" else key.rpartition(".")[2]
    kinds = {typing.get_origin(kind) or kind for kind in hints.alternatives(hint)}
    if not isinstance(value, str | int | float):
        return None
    if list in kinds:
        return f"{key} must be a list, got {given}. Write {typed}{sign}[{given}]."
    if dict in kinds:
        return f"{key} must be a dictionary, got {given}. Write {typed}{sign}{{KEY: VALUE}}."
    return None
