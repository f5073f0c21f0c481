"""The schema: what Hydra and OmegaConf see of the factories, and the way back.

OmegaConf makes a frozen dataclass a read-only node, which nothing can then be composed into.
`schema_node` clears that flag on every container; `to_settings` makes frozen objects again, once
the composition is done, and reports every mistake that it finds.
"""

# Being strict about composition takes some of Hydra's and OmegaConf's inner parts.
# pyright: reportPrivateUsage=false

import dataclasses
import enum
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runwright.data import DataModule
from runwright.errors import nearest
from runwright.factory import CONFIG_GROUPS, OptionError, Settings, described

SCHEMA_NAME: Final = "config_schema"

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
    config_store = ConfigStore.instance()
    root = schema_node(
        config, ["_self_", {"objective": None}, {"override /hydra/job_logging": "none"}]
    )
    OmegaConf.set_struct(root, value=False)
    root["hydra"] = HYDRA_SETTINGS
    OmegaConf.set_struct(root, value=None)
    config_store.store(name=SCHEMA_NAME, node=root, replace=True)
    for group, members in CONFIG_GROUPS.items():
        for name, cls in members.items():
            config_store.store(
                group=group, name=name, node=schema_node(cls, _defaults(cls)), replace=True
            )


def _defaults(cls: type[Settings]) -> list[Any] | None:
    """The data bring their objective with them, unless another is chosen."""
    if issubclass(cls, DataModule) and cls.default_objective is not None:
        return ["_self_", {"override /objective@_global_.objective": cls.default_objective}]
    return None


def _make_writable(node: DictConfig | ListConfig) -> None:
    OmegaConf.set_readonly(node, value=False)
    if not dataclasses.is_dataclass(OmegaConf.get_type(node)):
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


class Conversion:
    """Makes frozen objects from a composed node, and collects what is wrong with it."""

    def __init__(self) -> None:
        """Nothing is wrong yet."""
        self.problems: list[str] = []

    def settings(self, node: DictConfig, key: str = "") -> Settings | None:
        """The frozen object of a typed node, or None when `problems` has grown."""
        cls = OmegaConf.get_type(node)
        if cls is None or not dataclasses.is_dataclass(cls):
            raise TypeError(f"the node at '{key}' has no dataclass type")
        before = len(self.problems)
        options = {field.name: field for field in dataclasses.fields(cls)}
        for name in sorted(str(name) for name in node if name not in options):
            self.problems.append(unknown_key(_join(key, name), cls))
        values: dict[str, Any] = {}
        for name, field in options.items():
            full = _join(key, name)
            if OmegaConf.is_missing(node, name):
                self.problems.append(_missing(full, field))
                continue
            try:
                values[name] = self._value(node[name], full)
            except OmegaConfBaseException as error:
                self.problems.append(f"{full}: {str(error).splitlines()[0]}")
        if len(self.problems) > before:
            return None
        try:
            return cast("Settings", cls(**values))
        except OptionError as error:
            self.problems.extend(error.texts(key))
            return None

    def _value(self, value: Any, key: str) -> Any:
        if isinstance(value, DictConfig) and dataclasses.is_dataclass(OmegaConf.get_type(value)):
            return self.settings(value, key)
        if isinstance(value, ListConfig):
            return [self._value(value[i], f"{key}[{i}]") for i in range(len(value))]
        return OmegaConf.to_object(value) if OmegaConf.is_config(value) else value


def unknown_key(key: str, cls: type[Any]) -> str:
    """The text for a key that the class at this place does not have."""
    name = key.rpartition(".")[2]
    known = [field.name for field in dataclasses.fields(cls)]
    if "." in key:
        closest = nearest(name, known)
        hint = f" Did you mean '{_join(key.rpartition('.')[0], closest)}'?" if closest else ""
    else:
        groups = [*known, "experiment"]
        closest = nearest(name, groups)
        hint = f" Did you mean '{closest}'?" if closest else ""
    return f"{key} is not an option: {cls.__name__} has no '{name}'.{hint} {_allowed(known)}"


def _allowed(names: list[str]) -> str:
    return f"It has: {', '.join(names)}." if names else "It has no options."


def _missing(key: str, field: "dataclasses.Field[Any]") -> str:
    members = CONFIG_GROUPS.get(field.name, {}) if "." not in key else {}
    if members:
        return f"{key} must be chosen ({described(field).doc}): {key}={'|'.join(sorted(members))}."
    return f"{key} must be given: {described(field).doc}."


def _join(key: str, name: str | None) -> str:
    return f"{key}.{name}" if key else str(name)


def plain_values(value: Any) -> Any:
    """Settings as YAML holds them: dictionaries, lists, numbers, strings; paths as text."""
    if isinstance(value, Settings):
        fields = dataclasses.fields(cast("Any", value))
        return {field.name: plain_values(getattr(value, field.name)) for field in fields}
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return {plain_values(key): plain_values(member) for key, member in items}
    if isinstance(value, list | tuple):
        return [plain_values(member) for member in cast("list[Any]", value)]
    return value


def to_yaml(node: Any, *, resolve: bool = False) -> str:
    """A composed node as YAML that any reader understands: names for enums, text for paths."""
    plain: Any = node
    if OmegaConf.is_config(node):
        plain = OmegaConf.to_container(node, resolve=resolve, enum_to_str=True)
    return OmegaConf.to_yaml(OmegaConf.create(plain_values(plain)))


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every (full key, value) below plain values; empty dictionaries and lists are values."""
    if isinstance(node, dict) and node:
        for name, member in cast("dict[Any, Any]", node).items():
            yield from leaves(member, _join(key, str(name)))
    else:
        yield key, node
