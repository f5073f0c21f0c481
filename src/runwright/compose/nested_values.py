"""What is wrong in a value that holds options of its own: a dictionary of them, or a list of such.

OmegaConf stops at the first, and names those in a list without the list.
"""

import dataclasses
import inspect
import typing
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, cast

from omegaconf import DictConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runwright import hints
from runwright.compose._omegaconf import child
from runwright.compose.explain import nearest_value, unknown_option
from runwright.compose.schema import schema_node
from runwright.compose.typed_nodes import node_at, option_names, options_class
from runwright.compose.values import hint_at
from runwright.factory import Settings, full_key

_Found: TypeAlias = tuple[str, type[Any] | str]
"""The full key of a mistake; the class that has no such option, or what is wrong."""


def wrong_within(key: str, value: Any, composed: DictConfig) -> list[str]:
    """A text for every option in a value that there is not, or that does not take what it is given.

    Args:
        key: the full key of the option that takes the value.
        value: plain dictionaries, lists and scalars.
        composed: the whole, which need not hold the value.
    """
    if not isinstance(value, dict | list):
        return []
    found = _wrong(key, value, hint_at(key, composed), node_at(key, composed))
    return [
        unknown_option(place, said, composed) if inspect.isclass(said) else f"{place}: {said}"
        for place, said in found
    ]


def _wrong(key: str, value: Any, hint: Any, node: Node | None) -> Iterator[_Found]:
    if isinstance(value, list):
        yield from _wrong_in_list(key, cast("list[Any]", value), _member(hint))
        return
    typed: DictConfig | None = None
    cls: type[Any] | None = _class_in(hint)
    if isinstance(node, DictConfig) and dataclasses.is_dataclass(OmegaConf.get_type(node)):
        typed, cls = node, options_class(node)
    if cls is None or not isinstance(value, dict):
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


def _wrong_in_list(key: str, values: list[Any], member: Any) -> Iterator[_Found]:
    cls = _class_in(member)
    for index, one in enumerate(values):
        place = full_key(key, str(index))
        if cls is not None and not isinstance(one, dict):
            yield place, f"takes options, {{{option_names(cls)[0]}: …}}, got {one!r}"
        else:
            yield from _wrong(place, one, member, None)


def _unfit(cls: type[Settings], name: str, value: Any) -> str | None:
    """Why an option does not take a value."""
    try:
        OmegaConf.update(schema_node(cls), name, value)
    except OmegaConfBaseException as error:
        return f"{str(error).splitlines()[0]}. {nearest_value(cls, name, value)}".strip()
    return None


def _member(hint: Any) -> Any:
    """The type of what is in a list."""
    for kind in hints.alternatives(hint):
        if typing.get_origin(kind) in (list, tuple, Sequence):
            return typing.get_args(kind)[0]
    return None


def _class_in(hint: Any) -> type[Settings] | None:
    """The class of options that a type asks for, where that is known."""
    kinds = (kind for kind in hints.alternatives(hint) if inspect.isclass(kind))
    classes = (kind for kind in kinds if issubclass(kind, Settings))
    return next((cls for cls in classes if not inspect.isabstract(cls)), None)
