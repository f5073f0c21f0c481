"""Mistakes within a value: a list, a dictionary, or options of its own.

OmegaConf stops at the first mistake, does not name the list that it is in, and accepts a list or a
dictionary in place of any member.
"""

import dataclasses
import inspect
import typing
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, cast

from omegaconf import DictConfig, ListConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runwright import hints
from runwright.compose._omegaconf import child
from runwright.compose.schema import schema_node
from runwright.compose.typed_nodes import node_at, option_names, options_class
from runwright.compose.unknown_options import unknown_option
from runwright.compose.wrong_values import (
    declaration_at,
    is_number_for_flag,
    key_and_member,
    wrong_key,
    wrong_value,
)
from runwright.factory import Settings, described, full_key
from runwright.factory.option import Option, is_declared
from runwright.plain import shown

_Found: TypeAlias = str | tuple[str, type[Any]]
"""What is wrong; or the full key of what is no option, and the class that has none such."""


def wrong_within(key: str, value: Any, composed: DictConfig) -> list[str]:
    """A text for every option or member in a value that does not exist or has the wrong type.

    Args:
        key: the full key of the option that takes the value.
        value: plain dictionaries, lists and scalars.
        composed: the whole configuration, with or without the value.
    """
    if not isinstance(value, dict | list):
        return []
    found = _wrong(key, value, *declaration_at(key, composed), node_at(key, composed))
    return [one if isinstance(one, str) else unknown_option(*one, composed) for one in found]


def _wrong(
    key: str, value: Any, hint: Any, option: Option | None, node: Node | None
) -> Iterator[_Found]:
    if hint is not None and _is_other_container(value, hint):
        yield wrong_value(key, value, hint, option)
        return
    if isinstance(value, list):
        yield from _wrong_in_list(key, cast("list[Any]", value), _member(hint), option)
        return
    typed: DictConfig | None = None
    cls: type[Any] | None = _class_in(hint)
    if isinstance(node, DictConfig) and dataclasses.is_dataclass(OmegaConf.get_type(node)):
        typed, cls = node, options_class(node)
    if not isinstance(value, dict):
        return
    if cls is None:
        yield from _wrong_in_dictionary(key, cast("dict[Any, Any]", value), hint, option)
        return
    types = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for name, one in cast("dict[Any, Any]", value).items():
        place = full_key(key, str(name))
        if name not in fields:
            yield place, cls
            continue
        declared = described(fields[name]) if is_declared(fields[name]) else None
        below = child(typed, name) if typed else None
        within = [*_wrong(place, one, types[name], declared, below)]
        yield from within
        if within or not issubclass(cls, Settings):
            continue
        if not _takes(schema_node(cls), {name: one}, one, types[name]):
            yield wrong_value(place, one, types[name], declared)


def _is_other_container(value: Any, hint: Any) -> bool:
    """Whether a value is a list or dictionary where only the other fits, or neither."""
    is_block = any(dataclasses.is_dataclass(kind) for kind in hints.alternatives(hint))
    if isinstance(value, dict):
        return not hints.takes_dictionary(hint)
    return isinstance(value, list) and not (hints.takes_list(hint) or is_block)


def _wrong_in_list(
    key: str, values: list[Any], member: Any, option: Option | None
) -> Iterator[_Found]:
    cls = _class_in(member)
    for index, one in enumerate(values):
        place = full_key(key, str(index))
        if cls is not None and not isinstance(one, dict):
            yield f"{place} must be options, {{{option_names(cls)[0]}: …}}, got {shown(one)}"
        elif within := [*_wrong(place, one, member, option, None)]:
            yield from within
        elif cls is None and not _takes(ListConfig([], element_type=member), [one], one, member):
            yield wrong_value(place, one, member, option)


def _wrong_in_dictionary(
    key: str, values: dict[Any, Any], hint: Any, option: Option | None
) -> Iterator[_Found]:
    kind, member = key_and_member(hint)
    for name, one in values.items():
        place = full_key(key, str(name))
        if said := wrong_key(key, name, kind):
            yield said
            continue
        within = [*_wrong(place, one, member, option, None)]
        yield from within
        if not within and _class_in(member) is None:
            empty = DictConfig({}, key_type=kind, element_type=member)
            if not _takes(empty, {name: one}, one, member):
                yield wrong_value(place, one, member, option)


def misplaced(value: Any, hint: Any, key: str) -> Iterator[str]:
    """A text for every list or dictionary in a value where its type requires something else."""
    if isinstance(value, list | dict) and hints.is_scalar(hint):
        yield wrong_value(key, value, hint, None)
    elif isinstance(value, list):
        for index, one in enumerate(cast("list[Any]", value)):
            yield from misplaced(one, _member(hint), full_key(key, str(index)))
    elif isinstance(value, dict):
        for name, one in cast("dict[Any, Any]", value).items():
            yield from misplaced(one, key_and_member(hint)[1], full_key(key, str(name)))


def _takes(node: ListConfig | DictConfig, content: Any, value: Any, hint: Any) -> bool:
    """Whether a list or dictionary takes this content, in which a value has this type."""
    if is_number_for_flag(value, hint):
        return False
    try:
        OmegaConf.merge(node, content)
    except OmegaConfBaseException:
        return False
    return True


def _member(hint: Any) -> Any:
    """The type of the members of a list."""
    for kind in hints.alternatives(hint):
        if typing.get_origin(kind) in (list, tuple, Sequence):
            return typing.get_args(kind)[0]
    return Any


def _class_in(hint: Any) -> type[Settings] | None:
    """The class of options in a type, if there is a concrete one."""
    kinds = (kind for kind in hints.alternatives(hint) if inspect.isclass(kind))
    classes = (kind for kind in kinds if issubclass(kind, Settings))
    return next((cls for cls in classes if not inspect.isabstract(cls)), None)
