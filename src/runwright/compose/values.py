"""Setting options to the typed values: text keeps its characters, a dictionary is replaced.

Hydra's grammar reads `1.10` as the number 1.1, `1_1` as 11 and `true` as a boolean before it is
known which option they are for, and merges a dictionary into the previous one.
"""

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runwright import hints
from runwright.compose._hydra import Composer
from runwright.compose._omegaconf import child
from runwright.compose.typed_nodes import type_of, typed_steps

_NUMBERS = (bool, int, float)


def give(one: Override, composed: DictConfig, composer: Composer) -> None:
    """Apply an override to what was composed, in place.

    Raises:
        ConfigCompositionException: there is no such option, or it does not accept the value.
    """
    value: Any = None if one.is_delete() else one.value()
    hint = hint_at(one.key_or_group, composed)
    _let_change(one.key_or_group, composed)
    if hint is None or one.package is not None or one.is_delete() or one.is_list_extend():
        composer.apply(one, composed)
    elif isinstance(value, dict) and _is_dictionary(one.key_or_group, composed):
        _replace(one, cast("dict[Any, Any]", value), hint, composed, composer)
    elif (typed := as_typed(value, _text(one), hint)) != value:
        OmegaConf.update(composed, one.key_or_group, typed)
    else:
        composer.apply(one, composed)


def _let_change(key: str, composed: DictConfig) -> None:
    """Let the options in a list be changed, which OmegaConf has made of a frozen class."""
    for _, node, _ in typed_steps(key, composed):
        OmegaConf.set_readonly(node, value=None)


def hint_at(key: str, composed: DictConfig) -> Any:
    """The declared type of an option, or of the values in its dictionary; or None."""
    for path, node, name in typed_steps(key, composed):
        cls = type_of(node)
        if name not in cls.__dataclass_fields__:
            continue
        if path == key:
            return typing.get_type_hints(cls)[name]
        if f"{path}." == key[: len(path) + 1] and "." not in key[len(path) + 1 :]:
            for kind in hints.alternatives(typing.get_type_hints(cls)[name]):
                if typing.get_origin(kind) is dict:
                    return typing.get_args(kind)[1]
    return None


def as_typed(value: Any, text: str, hint: Any) -> Any:
    """A value as Hydra read it, but with the typed characters where an option takes text.

    Args:
        value: what Hydra made of it.
        text: what was typed.
        hint: the type of the option.
    """
    kinds = hints.alternatives(hint)
    if isinstance(value, list):
        member = next((typing.get_args(k)[0] for k in kinds if _is_a(k, list, tuple)), Any)
        return _retyped_list(cast("list[Any]", value), text, member)
    if isinstance(value, dict):
        member = next((typing.get_args(k)[1] for k in kinds if _is_a(k, dict)), Any)
        return _retyped_dict(cast("dict[Any, Any]", value), text, member)
    return text.strip() if takes_text(value, hint) else value


def takes_text(value: Any, hint: Any) -> bool:
    """Whether an option of this type takes text, where Hydra or YAML read a number."""
    kinds = set(hints.scalars_in(hint))
    number = {bool} if isinstance(value, bool) else {int, float}
    return isinstance(value, _NUMBERS) and bool(kinds & {str, Path}) and not kinds & {*number, Any}


def _is_a(kind: Any, *containers: type) -> bool:
    return typing.get_origin(kind) in containers and bool(typing.get_args(kind))


def _retyped_list(values: list[Any], text: str, member: Any) -> list[Any]:
    parts = list(split(text.strip()[1:-1]))
    if len(parts) != len(values):  # written in a way that only Hydra's grammar can split
        return values
    return [as_typed(value, part, member) for value, part in zip(values, parts, strict=True)]


def _retyped_dict(values: dict[Any, Any], text: str, member: Any) -> dict[Any, Any]:
    parts = list(split(text.strip()[1:-1]))
    if len(parts) != len(values):
        return values
    items = zip(values.items(), parts, strict=True)
    return {key: as_typed(value, _behind(part, ":"), member) for (key, value), part in items}


def split(text: str) -> Iterator[str]:
    """The parts of a text between its commas, ignoring commas within quotes and brackets."""
    depth, quote, first = 0, "", 0
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote and text[place - 1] != "\\" else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "[{(":
            depth += 1
        elif sign in "]})":
            depth -= 1
        elif sign == "," and depth == 0:
            yield text[first:place]
            first = place + 1
    if text.strip():
        yield text[first:]


def _behind(text: str, sign: str) -> str:
    return text.partition(sign)[2]


def _text(one: Override) -> str:
    return _behind(str(one.input_line), "=")


def _is_dictionary(key: str, composed: DictConfig) -> bool:
    """Whether an option is a dictionary that takes any key, not a block of options."""
    *parents, name = key.split(".")
    owner = OmegaConf.select(composed, ".".join(parents)) if parents else composed
    if not isinstance(owner, DictConfig):
        return False
    node = child(owner, name)
    return isinstance(node, DictConfig) and OmegaConf.get_type(node) in (dict, None)


def _replace(
    one: Override, value: dict[Any, Any], hint: Any, composed: DictConfig, composer: Composer
) -> None:
    try:
        given = as_typed(value, _text(one), hint)
        OmegaConf.update(composed, one.key_or_group, given, merge=False)
    except OmegaConfBaseException:
        composer.apply(one, composed)  # which reports mistakes in the usual words
        raise
