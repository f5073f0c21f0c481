"""The schema: what Hydra and OmegaConf see of the factories.

OmegaConf makes a frozen dataclass a read-only node, which nothing can then be composed into.
`schema_node` clears that flag on every container; `conversion.py` is the way back.
"""

# Being strict about composition takes some of Hydra's and OmegaConf's inner parts.
# pyright: reportPrivateUsage=false

import dataclasses
import inspect
import typing
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any, Final, TypeAlias, cast

from hydra.core.config_store import ConfigNode, ConfigStore
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf

from runwright.errors import nearest
from runwright.factory import CONFIG_GROUPS, Settings, choice, full_key, group_of

SCHEMA_NAME: Final = "config_schema"

# Hydra's part, and what a project keeps there for itself (`hydra/env=…`).
_NOT_DECLARED: Final = frozenset({"hydra", "hydra.env"})

Members: TypeAlias = Callable[[str], Collection[str]]
"""The names of the members of a group."""

HYDRA_SETTINGS: Final[dict[str, Any]] = {
    # Two runs that start in the same second must not share a directory.
    "run": {"dir": "outputs/${now:%Y-%m-%d}/${now:%H-%M-%S-%f}"},
    "sweep": {
        "dir": "multirun/${now:%Y-%m-%d}/${now:%H-%M-%S-%f}",
        "subdir": "${hydra.job.num}",
    },
    # The run itself says where its messages go.
    "job_logging": {
        "version": 1,
        "root": {"level": "WARNING", "handlers": []},
        "disable_existing_loggers": False,
    },
    # The run directory's own config.yaml, command.txt and environment.json say it all.
    "output_subdir": None,
}


def schema_node(cls: type[Settings], defaults: list[Any] | None = None) -> DictConfig:
    """The node that Hydra composes into: typed like `cls`, and writable."""
    node = cast("DictConfig", OmegaConf.structured(cls))
    _make_writable(node)
    if defaults is not None:
        OmegaConf.set_struct(node, value=False)
        node["defaults"] = defaults
        OmegaConf.set_struct(node, value=None)
    return node


def store(config: type[Settings]) -> None:
    """Register the schema of `config` and of every factory with Hydra's ConfigStore."""
    repository = ConfigStore.instance().repo
    repository[f"{SCHEMA_NAME}.yaml"] = _SchemaNode(SCHEMA_NAME, None, partial(_root, config))
    # For a program without a `conf/` folder: the same, with the data and the model to be chosen.
    primary = {"defaults": [SCHEMA_NAME, {"dm": MISSING}, {"model": MISSING}, "_self_"]}
    repository["config.yaml"] = _SchemaNode("config", None, partial(OmegaConf.create, primary))
    for group, members in CONFIG_GROUPS.items():
        folder = repository
        for name in group.split("/"):
            folder = cast("dict[str, Any]", folder.setdefault(name, {}))
        for name, cls in members.items():
            folder[f"{name}.yaml"] = _SchemaNode(name, group, partial(_member, cls))


class _SchemaNode(ConfigNode):
    """An entry of Hydra's ConfigStore whose schema is made when it is chosen.

    Making the schemas of all factories at every start would take longer than all else.
    """

    def __init__(self, name: str, group: str | None, make: Callable[[], DictConfig]) -> None:
        self._make = make
        self._node: Any = None
        self._made: list[DictConfig] = []  # shared with the copies that Hydra makes of this entry
        self.name = f"{name}.yaml"
        self.group = group
        self.package = None
        self.provider = None

    @property
    def node(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]  # an attribute there
        """The schema; Hydra copies it before it composes into it."""
        if self._node is not None:
            return self._node
        if not self._made:
            self._made.append(self._make())
        return self._made[0]

    @node.setter
    def node(self, value: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  # an attribute there
        self._node = value


def _root(config: type[Settings]) -> DictConfig:
    """The schema of the whole configuration, with the library's own settings of Hydra."""
    defaults = ["_self_", {"objective": None}, {"override /hydra/job_logging": "none"}]
    root = schema_node(config, defaults)
    OmegaConf.set_struct(root, value=False)
    root["hydra"] = HYDRA_SETTINGS
    OmegaConf.set_struct(root, value=None)
    return root


def _member(cls: type[Settings]) -> DictConfig:
    """The schema of a factory. Data bring their objective with them, unless another is chosen."""
    objective: str | None = getattr(cls, "default_objective", None)
    if objective is None:
        return schema_node(cls)
    return schema_node(cls, ["_self_", {"override /objective@_global_.objective": objective}])


def _make_writable(node: DictConfig | ListConfig) -> None:
    OmegaConf.set_readonly(node, value=False)
    types = (node._metadata.ref_type, node._metadata.object_type)
    if not any(dataclasses.is_dataclass(cls) for cls in types):
        # A dictionary takes any key: Hydra closes the whole configuration, and what is open here
        # stays open.
        OmegaConf.set_struct(node, value=False)
    if node._is_missing() or node._is_none():
        return
    keys = cast(
        "list[Any]", list(node.keys()) if isinstance(node, DictConfig) else range(len(node))
    )
    for key in keys:
        child = node._get_node(key)  # reading it by key would resolve it
        if isinstance(child, DictConfig | ListConfig):
            _make_writable(child)


_NOT_GLOBAL: Final = (
    "An experiment configures everything at once, so its file must begin with the line "
    "`# @package _global_`; without it, its content is put under a key 'experiment'."
)


def type_of(node: DictConfig) -> type[Any]:
    """The settings class of a typed node."""
    cls = OmegaConf.get_type(node)
    if cls is None or not dataclasses.is_dataclass(cls):
        raise TypeError(f"a node of type {cls} is no settings class")
    return cls


def typed_nodes(node: DictConfig, key: str = "") -> Iterator[tuple[DictConfig, str]]:
    """Every node with the type of a settings class, and its key."""
    if dataclasses.is_dataclass(OmegaConf.get_type(node)):
        yield node, key
    for name in list(node) if not (node._is_none() or node._is_missing()) else ():
        child = node._get_node(name)
        if isinstance(child, DictConfig):
            yield from typed_nodes(child, full_key(key, str(name)))


def options_class(node: DictConfig) -> type[Any] | None:
    """The class that declares the options of a typed node; None while any name may be one.

    Hydra's plugins hand options on to a class of another library, `_target_`. Those of one target
    may be declared in a class derived from that of the node; those of another are not known.
    """
    cls = type_of(node)
    if inspect.isabstract(cls):
        return None
    if not hasattr(cls, "_target_"):
        return cls
    target = node._get_node("_target_")
    declared = (kind for kind in (cls, *cls.__subclasses__()) if kind._target_ == target)
    return next(declared, None)


def unknown_keys(node: DictConfig, key: str) -> list[str]:
    """The full keys in a typed node, which stands at `key`, that are no options of its class."""
    cls = options_class(node)
    known = () if cls is None else cls.__dataclass_fields__
    names = [] if cls is None else [str(name) for name in node if name not in known]
    return sorted({full_key(key, name) for name in names} - _NOT_DECLARED)


def is_known(node: DictConfig, key: str) -> bool:
    """Whether a typed node may have an option with this full key."""
    cls = options_class(node)
    name = key.rpartition(".")[2]
    return cls is None or key in _NOT_DECLARED or name in cls.__dataclass_fields__


def unknown_key(key: str, node: DictConfig) -> str:
    """The text for a full key that a typed node cannot have."""
    cls = options_class(node) or type_of(node)
    if key == "experiment":
        return _NOT_GLOBAL
    name = key.rpartition(".")[2]
    known = option_names(cls)
    if name in CONFIG_GROUPS:
        hints = typing.get_type_hints(cls)
        places = [f"+{choice(name, field)}=…" for field in known if group_of(hints[field]) == name]
        if places:
            return f"{key} is not an option: its members are chosen with {' or '.join(places)}."
    if "." in key:
        closest = nearest(name, known)
        hint = f" Did you mean '{full_key(key.rpartition('.')[0], closest)}'?" if closest else ""
    else:
        groups = [*known, "experiment"]
        closest = nearest(name, groups)
        hint = f" Did you mean '{closest}'?" if closest else ""
    return f"{key} is not an option: {cls.__name__} has no '{name}'.{hint} {_allowed(known)}"


def option_names(cls: type[Any]) -> list[str]:
    """The options of a class, without what only Hydra reads."""
    names = [field.name for field in dataclasses.fields(cls)]
    return [name for name in names if name not in ("defaults", "_target_", "_partial_")]


def _allowed(names: list[str]) -> str:
    return f"It has: {', '.join(names)}." if names else "It has no options."


def is_required(key: str) -> bool:
    """Whether the whole configuration needs a value for this option of its own."""
    hint = typing.get_type_hints(root_class()).get(key)
    return hint is not None and type(None) not in typing.get_args(hint)


def root_class() -> type[Any]:
    """The class of the whole configuration."""
    return type_of(ConfigStore.instance().repo[f"{SCHEMA_NAME}.yaml"].node)


def ways_to_choose(
    key: str, group: str, in_defaults: Collection[str] | None, members: Members | None = None
) -> str:
    """What to type to choose a member of a group for the option `key`: "+aug=flip|noise".

    Args:
        key: the option.
        group: its group.
        in_defaults: what the defaults list chooses, if that is known.
        members: the members of a group, YAML files too; by default the factories.
    """
    chosen_by = choice(group, key)
    sign = "" if in_defaults is None or chosen_by in in_defaults else "+"
    names = CONFIG_GROUPS.get(group, {}) if members is None else members(group)
    return f"{sign}{chosen_by}={'|'.join(sorted(names))}"
