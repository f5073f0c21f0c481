"""Mistakes within a value: a list, a dictionary, or options of its own.

OmegaConf stops at the first mistake, does not name the list that it is in, and accepts a list or a
dictionary in place of any member.
"""

import dataclasses
import inspect
import typing
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias, cast

from omegaconf import DictConfig, ListConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runwright import hints
from runwright.compose._omegaconf import child
from runwright.compose.explain import nearest_value, unknown_option
from runwright.compose.schema import schema_node
from runwright.compose.typed_nodes import node_at, option_names, options_class
from runwright.compose.values import hint_at, key_and_member
from runwright.factory import Settings, full_key

_MISPLACED: Final = "must be {}, got {}"

_Found: TypeAlias = tuple[str, type[Any] | str]
"""The full key of a mistake; and the class that has no such option, or what is wrong."""


def wrong_within(key: str, value: Any, composed: DictConfig) -> list[str]:
    """A text for every option or member in a value that does not exist or has the wrong type.

    Args:
        key: the full key of the option that takes the value.
        value: plain dictionaries, lists and scalars.
        composed: the whole configuration, with or without the value.
    """
    if not isinstance(value, dict | list):
        return []
    found = _wrong(key, value, hint_at(key, composed), node_at(key, composed))
    return [
        unknown_option(place, said, composed) if inspect.isclass(said) else f"{place}: {said}"
        for place, said in found
    ]


def _wrong(key: str, value: Any, hint: Any, node: Node | None) -> Iterator[_Found]:
    if (said := _other_container(value, hint)) is not None:
        yield key, said
        return
    if isinstance(value, list):
        yield from _wrong_in_list(key, cast("list[Any]", value), _member(hint))
        return
    typed: DictConfig | None = None
    cls: type[Any] | None = _class_in(hint)
    if isinstance(node, DictConfig) and dataclasses.is_dataclass(OmegaConf.get_type(node)):
        typed, cls = node, options_class(node)
    if not isinstance(value, dict):
        return
    if cls is None:
        yield from _wrong_in_dictionary(key, cast("dict[Any, Any]", value), hint)
        return
    types = typing.get_type_hints(cls)
    known = {field.name for field in dataclasses.fields(cls)}
    for name, one in cast("dict[Any, Any]", value).items():
        place = full_key(key, str(name))
        if name not in known:
            yield place, cls
            continue
        within = [*_wrong(place, one, types[name], child(typed, name) if typed else None)]
        yield from within
        if not within and issubclass(cls, Settings) and (said := _unfit(cls, name, one)):
            yield place, said


def _other_container(value: Any, hint: Any) -> str | None:
    """What is wrong with a list or dictionary where an option takes only the other, or neither."""
    if hint is None:
        return None
    is_block = any(dataclasses.is_dataclass(kind) for kind in hints.alternatives(hint))
    list_fits, dictionary_fits = hints.takes_list(hint), hints.takes_dictionary(hint)
    if isinstance(value, dict) and not dictionary_fits:
        demand = ("a list", ". A list is written [A, B].") if list_fits else None
    elif isinstance(value, list) and not (list_fits or is_block):
        form = ". A dictionary is written {KEY: VALUE}."
        demand = ("a dictionary", form) if dictionary_fits else None
    else:
        return None
    what, form = demand or (hints.written(hint), "")
    return _MISPLACED.format(what, cast("object", value)) + form


def _wrong_in_list(key: str, values: list[Any], member: Any) -> Iterator[_Found]:
    cls = _class_in(member)
    for index, one in enumerate(values):
        place = full_key(key, str(index))
        if _is_misplaced(one, member):
            yield place, _MISPLACED.format(hints.written(member), one)
        elif cls is not None and not isinstance(one, dict):
            yield place, f"must be options, {{{option_names(cls)[0]}: …}}, got {one!r}"
        elif within := [*_wrong(place, one, member, None)]:
            yield from within
        elif cls is None:
            empty = ListConfig([], element_type=member)
            if said := _unfit_member(empty, [one], one, member):
                yield place, said


def _wrong_in_dictionary(key: str, values: dict[Any, Any], hint: Any) -> Iterator[_Found]:
    kind, member = key_and_member(hint)
    for name, one in values.items():
        place = full_key(key, str(name))
        if _is_misplaced(one, member):
            yield place, _MISPLACED.format(hints.written(member), one)
            continue
        within = [*_wrong(place, one, member, None)]
        yield from within
        if not within and _class_in(member) is None:
            empty = DictConfig({}, key_type=kind, element_type=member)
            if said := _unfit_member(empty, {name: one}, one, member):
                yield place, said


def misplaced(value: Any, hint: Any, key: str) -> Iterator[str]:
    """A text for every list or dictionary in a value where its type requires something else."""
    if _is_misplaced(value, hint):
        yield f"{key}: {_MISPLACED.format(hints.written(hint), value)}"
    elif isinstance(value, list):
        for index, one in enumerate(cast("list[Any]", value)):
            yield from misplaced(one, _member(hint), full_key(key, str(index)))
    elif isinstance(value, dict):
        for name, one in cast("dict[Any, Any]", value).items():
            yield from misplaced(one, key_and_member(hint)[1], full_key(key, str(name)))


def _is_misplaced(value: Any, hint: Any) -> bool:
    return isinstance(value, list | dict) and hints.is_scalar(hint)


def _unfit_member(
    empty: ListConfig | DictConfig, content: Any, value: Any, member: Any
) -> str | None:
    """Why a list or a dictionary of this type of member does not take the value in `content`."""
    try:
        OmegaConf.merge(empty, content)
    except OmegaConfBaseException as error:
        if value is None or not hints.is_scalar(member):
            return _MISPLACED.format(hints.written(member), "null" if value is None else value)
        return f"{str(error).splitlines()[0]}."
    return None


def _unfit(cls: type[Settings], name: str, value: Any) -> str | None:
    """Why an option does not take a value."""
    try:
        OmegaConf.update(schema_node(cls), name, value)
    except OmegaConfBaseException as error:
        return f"{str(error).splitlines()[0]}. {nearest_value(cls, name, value)}".strip()
    return None


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
