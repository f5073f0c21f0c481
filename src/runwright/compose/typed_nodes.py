"""What is declared about the nodes that Hydra composes: classes, options, and unknown keys."""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, ListConfig, Node, OmegaConf

from runwright import hints
from runwright.compose._omegaconf import Container, child, is_empty, split_key
from runwright.compose.members import classes_in
from runwright.compose.schema import SCHEMA_NAME
from runwright.factory import CONFIG_GROUPS, full_key, group_of, name_of, usual_members
from runwright.hints import is_optional

# Hydra's part, including what a project keeps there for itself (`hydra/env=…`).
_TYPO: Final = 0.93  # a key of one's own that is more similar to an option was mistyped

# Of a launcher for Slurm: sbatch gets each as text, or as a flag.
_OF_SBATCH: Final = "additional_parameters"
_NOT_DECLARED: Final = frozenset({"hydra", "hydra.env"})


def type_of(node: DictConfig) -> type[Any]:
    """The settings class of a typed node."""
    cls = OmegaConf.get_type(node)
    if cls is None or not dataclasses.is_dataclass(cls):
        raise TypeError(f"a node's type, {cls}, is not a settings class")
    return cls


def is_interface(cls: type[Any]) -> bool:
    """Whether a class is the interface of a group, or otherwise nothing that can be chosen."""
    declares_group = vars(cls).get("config_group") is not None
    return inspect.isabstract(cls) or (declares_group and "config_choice" not in vars(cls))


def typed_nodes(node: DictConfig, key: str = "") -> Iterator[tuple[DictConfig, str]]:
    """Every node with the type of a settings class, those in lists too, and its key."""
    if dataclasses.is_dataclass(OmegaConf.get_type(node)):
        yield node, key
    for name, below in containers_in(node):
        inner = full_key(key, name)
        if isinstance(below, DictConfig):
            yield from typed_nodes(below, inner)
        else:
            for place, member in containers_in(below):
                if isinstance(member, DictConfig):
                    yield from typed_nodes(member, full_key(inner, place))


def containers_in(node: Container) -> Iterator[tuple[str, Container]]:
    """The dictionaries and lists right below a node, each with its name or place."""
    if is_empty(node):
        return
    for name in list(node) if isinstance(node, DictConfig) else range(len(node)):
        below = child(node, name)
        if isinstance(below, DictConfig | ListConfig):
            yield str(name), below


def typed_steps(key: str, composed: DictConfig) -> Iterator[tuple[str, DictConfig, str]]:
    """The names in a key that are options: the key so far, the node, the name."""
    node: Container = composed
    path = ""
    for name in split_key(key):
        path = full_key(path, name)
        if isinstance(node, DictConfig) and dataclasses.is_dataclass(OmegaConf.get_type(node)):
            yield path, node, name
        below = member(node, name)
        if not isinstance(below, DictConfig | ListConfig):
            return
        node = below


def node_at(key: str, composed: DictConfig) -> Node | None:
    """What stands at the full key of an option, nothing resolved; None where there is nothing."""
    steps = [child(node, name) for path, node, name in typed_steps(key, composed) if path == key]
    return steps[0] if steps else None


def member(node: Container, name: str) -> Node | None:
    """What stands at a name of a dictionary, or at a place of a list; None where nothing does."""
    if is_empty(node):
        return None
    if isinstance(node, DictConfig):
        return child(node, name)
    return child(node, int(name)) if name.isdecimal() and int(name) < len(node) else None


def options_class(node: DictConfig) -> type[Any] | None:
    """The class that declares the options of a typed node; None if any name may be an option.

    Hydra's plugins pass options on to a class of another library, `_target_`. Those of one target
    may be declared in a class derived from that of the node; those of another are unknown.
    """
    cls = type_of(node)
    if is_interface(cls):
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
    if getattr(cls, "is_open", False):
        names = [name for name in names if get_close_matches(name, known, 1, _TYPO)]
    return sorted({full_key(key, name) for name in names} - _NOT_DECLARED)


def own_keys(node: DictConfig) -> tuple[str, ...]:
    """The keys in a node of an open group's member that are not its options, but one's own."""
    cls = type_of(node)
    if not getattr(cls, "is_open", False):
        return ()
    own = {str(name) for name in node} - cls.__dataclass_fields__.keys()
    return tuple(sorted(own - set(unknown_keys(node, ""))))


def is_known(node: DictConfig, key: str) -> bool:
    """Whether a typed node may have an option with this full key."""
    cls = options_class(node)
    name = key.rpartition(".")[2]
    if getattr(cls, "is_open", False):
        return not unknown_keys(node, key.rpartition(".")[0])
    return cls is None or key in _NOT_DECLARED or name in cls.__dataclass_fields__


def option_names(cls: type[Any]) -> list[str]:
    """The options of a class, without what only Hydra reads."""
    names = [field.name for field in dataclasses.fields(cls)]
    return [name for name in names if name not in ("defaults", "_target_", "_partial_")]


@functools.cache  # typing looks at every annotation again, and each job asks for those of all parts
def option_types(cls: type[Any]) -> Mapping[str, Any]:
    """The types of the options of a class."""
    types = typing.get_type_hints(cls)
    found = {field.name: types[field.name] for field in dataclasses.fields(cls)}
    if found.get(_OF_SBATCH) == dict[str, Any]:
        found[_OF_SBATCH] = dict[str, bool | str]
    return found


def is_required(group: str, key: str) -> bool:
    """Whether the option of this key needs a member of the group, for all that can be chosen."""
    owners = [cls for taken, cls in takers_of(group, root_class()) if taken == key]
    name = key.rpartition(".")[2]
    return any(not is_optional(typing.get_type_hints(owner)[name]) for owner in owners)


def root_class() -> type[Any]:
    """The class of the whole configuration."""
    return type_of(ConfigStore.instance().repo[f"{SCHEMA_NAME}.yaml"].node)


def options_named(name: str, composed: DictConfig) -> list[str]:
    """The full keys of all options with this name, as `all_options` finds them."""
    return [key for key in all_options(composed) if key.rpartition(".")[2] == name]


def all_options(composed: DictConfig) -> list[str]:
    """The full keys of all options that do something by themselves.

    They are at any depth, but not in Hydra's part, nor in open groups, which are referred to.
    """
    return [
        full_key(key, name)
        for node, key in typed_nodes(composed)
        if key.partition(".")[0] != "hydra" and not getattr(type_of(node), "is_open", False)
        for name in option_names(type_of(node))
    ]


def declared(key: str) -> Any:
    """The type of an option by its full key, whatever is chosen: a union where there are several.

    None where there is no such option.
    """
    first, *names = split_key(key)
    in_hydra = first == "hydra"
    top, names = (HydraConf, names) if in_hydra else (root_class(), [first, *names])
    found = [*_declared_below(top, names, "hydra" if in_hydra else "")]
    return typing.Union[tuple(found)] if found else None  # noqa: UP007  # of as many as there are


def _declared_below(hint: Any, names: list[str], place: str) -> Iterator[Any]:
    for kind in hints.alternatives(hint):
        classes = classes_of(kind, place)
        if not names:
            yield from classes or [kind]
            continue
        name, *rest = names
        arguments = typing.get_args(kind)
        if typing.get_origin(kind) in (dict, list) and arguments:
            yield from _declared_below(arguments[-1], rest, "")
        for cls in classes:
            if (inner := option_types(cls).get(name)) is not None:
                yield from _declared_below(inner, rest, f"{place}/{name}".lstrip("/"))


def classes_of(kind: Any, place: str = "") -> list[type[Any]]:
    """The classes of options that something of a type may have.

    Args:
        kind: the type.
        place: the group that may be chosen there, where the type does not say so.
    """
    group = group_of(kind)
    if group is not None and name_of(kind) is None:
        return [*classes_in(group).values()]
    if inspect.isclass(kind) and dataclasses.is_dataclass(kind):
        return [kind]
    return [*classes_in(place).values()] if kind is Any else []


def places_of(group: str, cls: type[Any], above: str = "", depth: int = 4) -> list[str]:
    """The full keys of the options that take a member of a group, in any member of another."""
    return list(dict.fromkeys(key for key, _ in takers_of(group, cls, above, depth)))


def takers_of(
    group: str, cls: type[Any], above: str = "", depth: int = 4
) -> Iterator[tuple[str, type[Any]]]:
    """The options that take a member of a group, in any member of another: key, and whose it is."""
    for name, hint in typing.get_type_hints(cls).items():
        inner = group_of(hint)
        key = full_key(above, name)
        if inner == group:
            yield key, cls
        for below in CONFIG_GROUPS.get(inner or "", {}).values() if depth else ():
            yield from takers_of(group, below, key, depth - 1)


def owners_of_usual(group: str) -> Iterator[tuple[str, str, str]]:
    """The factories with an option that has a usual member of a group.

    Yields:
        The factory's group and name, and the full key of the option.
    """
    for owners, members in CONFIG_GROUPS.items():
        for name, cls in members.items():
            for key, taken, _ in usual_members(cls, owners.replace("/", ".")):
                if taken == group:
                    yield owners, name, key
