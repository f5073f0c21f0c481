"""Setting options to the typed values: text keeps its characters, a dictionary is replaced.

Hydra's grammar reads `1.10` as the number 1.1, `1_1` as 11 and `true` as a boolean before it is
known which option they are for, and merges a dictionary into the previous one.
"""

import dataclasses
import re
import typing
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runwright import hints
from runwright.compose._hydra import Composer
from runwright.compose._omegaconf import Container, child, is_empty, split_key
from runwright.compose.typed_nodes import classes_of, member, option_types
from runwright.compose.wrong_values import (
    hint_at,
    is_number_for_flag,
    key_and_member,
    member_hint,
)
from runwright.errors import did_you_mean
from runwright.factory import full_key

_NUMBERS = (bool, int, float)
_IN_LIST: Final = re.compile(r"^(extend_list\(|\[)")


def give(one: Override, composed: DictConfig, composer: Composer) -> None:
    """Apply an override to what was composed, in place.

    Raises:
        ConfigCompositionException: there is no such option, or it does not accept the value.
    """
    key = one.key_or_group
    is_new = one.is_add() or one.is_force_add()
    is_below_new = not one.is_delete() and _add_entry(key, composed, is_new=is_new)
    hint = hint_at(key, composed)
    if hint is None or one.package is not None or one.is_delete():
        composer.apply(one, composed)
        return
    value: Any = one.value()
    typed = as_typed(value, _text(one), hint)
    if _has_number_for_flag(value, hint):
        raise ConfigCompositionException(f"{one.input_line}: a number is neither true nor false")
    if isinstance(value, dict) and _is_dictionary(key, composed):
        _replace(one, typed, composed, composer)
        return
    if isinstance(value, dict):
        _empty_dictionaries(OmegaConf.select(composed, key), cast("dict[Any, Any]", value))
    if one.is_list_extend() and typed != value:
        OmegaConf.select(composed, key).extend(typed)
    elif typed != value or (is_below_new and one.is_add()):
        try:
            OmegaConf.update(composed, key, typed, force_add=is_new)
        except OmegaConfBaseException:
            composer.apply(one, composed)  # which says what is wrong in the words of all others
            raise
    elif not _add_under_number(key, value, composed):
        composer.apply(one, composed)


def _add_entry(key: str, composed: DictConfig, *, is_new: bool) -> bool:
    """Add what a key names in a dictionary of settings, with its defaults, where it is new.

    Returns:
        Whether it has added the entry that an option is in.

    Raises:
        ConfigCompositionException: an option is in an entry that there is not, and none is to be
            added.
    """
    node: Container = composed
    path, added = "", False
    for name in split_key(key):
        kind = member_hint(hint_at(path, composed), dict) if path else None
        place = full_key(path, name)
        if isinstance(node, DictConfig) and dataclasses.is_dataclass(kind) and name not in node:
            added = place != key
            if added and not is_new:
                raise ConfigCompositionException(
                    f"{key}: {path} has no '{name}'. {did_you_mean(name, map(str, node))} To add "
                    f"it, write +{key}=…"
                )
            node[name] = OmegaConf.structured(kind)
        below = member(node, name)
        if not isinstance(below, DictConfig | ListConfig):
            break
        node, path = below, place
    return added


def _add_under_number(key: str, value: Any, composed: DictConfig) -> bool:
    """Add an entry to a dictionary whose keys are numbers, of which Hydra makes text; if it is."""
    above, _, name = key.rpartition(".")
    dictionary = OmegaConf.select(composed, above) if above else None
    kinds = (typing.get_args(kind) for kind in hints.alternatives(hint_at(above, composed)))
    is_number = any(kind[:1] == (int,) for kind in kinds)
    if not (is_number and isinstance(dictionary, DictConfig) and re.fullmatch(r"-?\d+", name)):
        return False
    if is_new := int(name) not in dictionary:
        dictionary[int(name)] = value
    return is_new


def as_typed(value: Any, text: str, hint: Any) -> Any:
    """A value as Hydra read it, but with the typed characters where an option takes text.

    Args:
        value: what Hydra made of it.
        text: what was typed.
        hint: the type of the option.
    """
    if isinstance(value, list):
        return _retyped_list(cast("list[Any]", value), text, member_hint(hint, list, tuple))
    if isinstance(value, dict):
        name = key_and_member(hint)[0]
        return _retyped_dict(cast("dict[Any, Any]", value), text, name, _types_within(hint))
    return text.strip() if takes_text(value, hint) else value


def takes_text(value: Any, hint: Any) -> bool:
    """Whether an option of this type takes text, where Hydra or YAML read a number."""
    kinds = set(hints.scalars_in(hint))
    number = {bool} if isinstance(value, bool) else {int, float}
    return isinstance(value, _NUMBERS) and bool(kinds & {str, Path}) and not kinds & {*number, Any}


def _has_number_for_flag(value: Any, hint: Any) -> bool:
    if isinstance(value, list):
        member = member_hint(hint, list, tuple)
        return any(_has_number_for_flag(one, member) for one in cast("list[Any]", value))
    if isinstance(value, dict):
        types = _types_within(hint)
        items = cast("dict[Any, Any]", value).items()
        return any(_has_number_for_flag(one, types[name]) for name, one in items)
    return is_number_for_flag(value, hint)


def _types_within(hint: Any) -> defaultdict[Any, Any]:
    """The types in a dictionary, or of the options in a block of any that may be there."""
    entry = member_hint(hint, dict)
    found = defaultdict[Any, Any](lambda: Any if entry is None else entry)
    for cls in (cls for kind in hints.alternatives(hint) for cls in classes_of(kind)):
        for name, inner in option_types(cls).items():
            found[name] = found[name] | inner if name in found else inner
    return found


def _retyped_list(values: list[Any], text: str, member: Any) -> list[Any]:
    parts = list(split(_IN_LIST.sub("", text.strip())[:-1]))
    if len(parts) != len(values):  # written in a way that only Hydra's grammar can split
        return values
    return [as_typed(value, part, member) for value, part in zip(values, parts, strict=True)]


def _retyped_dict(
    values: dict[Any, Any], text: str, name: Any, member: defaultdict[Any, Any]
) -> dict[Any, Any]:
    parts = list(split(text.strip()[1:-1]))
    if len(parts) != len(values):
        return values
    items = zip(values.items(), parts, strict=True)
    return {
        as_typed(key, part.partition(":")[0], name): as_typed(
            value, _behind(part, ":"), member[key]
        )
        for (key, value), part in items
    }


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
    if isinstance(node, DictConfig) and is_empty(node):
        kinds = hints.alternatives(hint_at(key, composed))
        return any(kind is dict or typing.get_origin(kind) is dict for kind in kinds)
    return isinstance(node, DictConfig) and OmegaConf.get_type(node) in (dict, None)


def _replace(one: Override, value: Any, composed: DictConfig, composer: Composer) -> None:
    try:
        replace(composed, one.key_or_group, value)
    except OmegaConfBaseException:
        composer.apply(one, composed)  # which reports mistakes in the usual words
        raise


def replace(composed: DictConfig, key: str, value: Any) -> None:
    """Give a dictionary this content in place of its own; its members get their declared type.

    Raises:
        OmegaConfBaseException: it does not take this content, and keeps its own.
    """
    above, _, name = key.rpartition(".")
    before = child(OmegaConf.select(composed, above) if above else composed, name)
    own = OmegaConf.to_container(before, resolve=False) if OmegaConf.is_config(before) else None
    OmegaConf.update(composed, key, {}, merge=False)
    node = OmegaConf.select(composed, key)
    OmegaConf.set_struct(node, False)
    try:
        node.merge_with(value)
    except OmegaConfBaseException:
        OmegaConf.update(composed, key, own, merge=False)
        raise


def _empty_dictionaries(block: Any, given: dict[Any, Any]) -> None:
    """Empty the dictionaries in a block of options for which others are given."""
    for name, value in given.items():
        if not (isinstance(block, DictConfig) and isinstance(value, dict)):
            continue
        if name in block and _is_dictionary(name, block):
            replace(block, name, {})
        else:
            _empty_dictionaries(child(block, name), cast("dict[Any, Any]", value))
