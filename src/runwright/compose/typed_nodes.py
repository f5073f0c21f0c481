"""What is declared about the nodes that Hydra composes: classes, options, and unknown keys."""

import dataclasses
import inspect
import re
import typing
from collections.abc import Iterator
from typing import Any, Final

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, ListConfig, Node, OmegaConf

from runwright.compose._omegaconf import child, is_empty, split_key
from runwright.compose.schema import SCHEMA_NAME
from runwright.factory import CONFIG_GROUPS, full_key, group_of

# Hydra's part, including what a project keeps there for itself (`hydra/env=…`).
_NOT_DECLARED: Final = frozenset({"hydra", "hydra.env"})


def type_of(node: DictConfig) -> type[Any]:
    """The settings class of a typed node."""
    cls = OmegaConf.get_type(node)
    if cls is None or not dataclasses.is_dataclass(cls):
        raise TypeError(f"a node's type, {cls}, is not a settings class")
    return cls


def typed_nodes(node: DictConfig, key: str = "") -> Iterator[tuple[DictConfig, str]]:
    """Every node with the type of a settings class, and its key."""
    if dataclasses.is_dataclass(OmegaConf.get_type(node)):
        yield node, key
    for name in list(node) if not is_empty(node) else ():
        below = child(node, name)
        if isinstance(below, DictConfig):
            yield from typed_nodes(below, full_key(key, str(name)))


def typed_steps(key: str, composed: DictConfig) -> Iterator[tuple[str, DictConfig, str]]:
    """The names in a key that are options: the key so far, the node, the name."""
    node: Node | None = composed
    path = ""
    for name in split_key(key):
        if isinstance(node, ListConfig):
            path, node = f"{path}[{name}]", _member(node, name)
            continue
        is_typed = dataclasses.is_dataclass(OmegaConf.get_type(node))
        if not (is_typed and isinstance(node, DictConfig)):
            return
        path = full_key(path, name)
        yield path, node, name
        node = child(node, name)


def node_at(key: str, composed: DictConfig) -> Node | None:
    """What stands at the full key of an option, nothing resolved; None where there is nothing."""
    steps = [child(node, name) for path, node, name in typed_steps(key, composed) if path == key]
    return steps[0] if steps else None


def lacking_element(key: str, composed: DictConfig) -> str | None:
    """The part of a full key that names an element of a list that is shorter."""
    steps = [path for path, node, name in typed_steps(key, composed) if child(node, name)]
    place = steps[-1] if steps else ""
    found = re.match(r"\[?\.?(\d+)\b\]?", key[len(place) :])
    node = node_at(place, composed)
    if found is None or not isinstance(node, ListConfig) or _member(node, found[1]) is not None:
        return None
    return f"{place}[{found[1]}]"


def _member(node: ListConfig, index: str) -> Node | None:
    is_there = not is_empty(node) and index.isdecimal() and int(index) < len(node)
    return child(node, int(index)) if is_there else None


def options_class(node: DictConfig) -> type[Any] | None:
    """The class that declares the options of a typed node; None if any name may be an option.

    Hydra's plugins pass options on to a class of another library, `_target_`. Those of one target
    may be declared in a class derived from that of the node; those of another are unknown.
    """
    cls = type_of(node)
    if inspect.isabstract(cls):
        return None
    if not hasattr(cls, "_target_"):
        return cls
    target = child(node, "_target_")
    declared = (kind for kind in (cls, *cls.__subclasses__()) if kind._target_ == target)
    return next(declared, None)


def unknown_keys(node: DictConfig, key: str) -> list[str]:
    """The full keys in a typed node at `key` that are not options of its class."""
    cls = options_class(node)
    known = () if cls is None else cls.__dataclass_fields__
    names = [] if cls is None else [str(name) for name in node if name not in known]
    return sorted({full_key(key, name) for name in names} - _NOT_DECLARED)


def is_known(node: DictConfig, key: str) -> bool:
    """Whether a typed node may have an option with this full key."""
    cls = options_class(node)
    name = key.rpartition(".")[2]
    return cls is None or key in _NOT_DECLARED or name in cls.__dataclass_fields__


def option_names(cls: type[Any]) -> list[str]:
    """The options of a class, without what only Hydra reads."""
    names = [field.name for field in dataclasses.fields(cls)]
    return [name for name in names if name not in ("defaults", "_target_", "_partial_")]


def is_required(key: str) -> bool:
    """Whether the whole configuration needs a value for this option of its own."""
    hint = typing.get_type_hints(root_class()).get(key)
    return hint is not None and type(None) not in typing.get_args(hint)


def root_class() -> type[Any]:
    """The class of the whole configuration."""
    return type_of(ConfigStore.instance().repo[f"{SCHEMA_NAME}.yaml"].node)


def options_named(name: str, composed: DictConfig) -> list[str]:
    """The full keys of all options with this name, at any depth except in Hydra's part."""
    return [
        full_key(key, name)
        for node, key in typed_nodes(composed)
        if key.partition(".")[0] != "hydra" and name in option_names(type_of(node))
    ]


def all_options(composed: DictConfig) -> list[str]:
    """The full keys of all options, at any depth except in Hydra's part."""
    return [
        full_key(key, name)
        for node, key in typed_nodes(composed)
        if key.partition(".")[0] != "hydra"
        for name in option_names(type_of(node))
    ]


def places_of(group: str, cls: type[Any], above: str = "", depth: int = 4) -> list[str]:
    """The full keys of the options that take a member of a group, in any member of any group."""
    found: dict[str, None] = {}
    for name, hint in typing.get_type_hints(cls).items():
        inner = group_of(hint)
        key = full_key(above, name)
        if inner == group:
            found[key] = None
        for member in CONFIG_GROUPS.get(inner or "", {}).values() if depth else ():
            found |= dict.fromkeys(places_of(group, member, key, depth - 1))
    return list(found)
