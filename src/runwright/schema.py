"""The schema: what Hydra and OmegaConf see of the factories, and the way back.

OmegaConf makes a frozen dataclass a read-only node, which nothing can then be composed into.
`schema_node` clears that flag on every container; `to_settings` makes frozen objects again, once
the composition is done, and reports every mistake that it finds.
"""

# Being strict about composition takes some of Hydra's and OmegaConf's inner parts.
# pyright: reportPrivateUsage=false

import dataclasses
import enum
import inspect
import re
import typing
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from hydra.core.config_store import ConfigNode, ConfigStore
from omegaconf import MISSING, DictConfig, ListConfig, Node, OmegaConf, ValueNode
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from runwright.errors import UserError, nearest
from runwright.factory import (
    CONFIG_GROUPS,
    OptionError,
    Settings,
    broken_rules,
    choice,
    described,
    group_of,
)

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


_ABSTRACT: Final = (
    "{key}: the file that was chosen does not say which {cls} it changes. Begin it with a "
    "defaults list that names one, `defaults: [NAME]`."
)
_NOT_GLOBAL: Final = (
    "An experiment configures everything at once, so its file must begin with the line "
    "`# @package _global_`; without it, its content is put under a key 'experiment'."
)


class Conversion:
    """Makes frozen objects from a composed node, and collects what is wrong with it.

    Attributes:
        problems: one text a mistake.
        deferred: keys whose values only a running job knows, `${hydra:…}`.
        parts: the options of the whole that are right, by name, also when others are not.
    """

    def __init__(
        self, in_defaults: Collection[str] | None = None, members: Members | None = None
    ) -> None:
        """Nothing is wrong yet.

        Args:
            in_defaults: what the defaults list chooses, e.g. `model`: another member needs no "+".
            members: the members of a group, YAML files too; by default the factories.
        """
        self.problems: list[str] = []
        self.deferred: list[str] = []
        self.parts: dict[str, Any] = {}
        self._in_defaults = in_defaults
        self._members = members

    def settings(self, node: DictConfig, key: str = "") -> Settings | None:
        """The frozen object of a typed node, or None when something is wrong or deferred."""
        cls = type_of(node)
        if inspect.isabstract(cls):
            self.problems.append(_ABSTRACT.format(key=key, cls=cls.__name__))
            return None
        before = self._count()
        self.problems += [unknown_key(unknown, node) for unknown in unknown_keys(node, key)]
        values: dict[str, Any] = {}
        wrong: list[str] = []
        for field in dataclasses.fields(cls):
            until_here = self._count()
            try:
                value = _from_home(self._option(node, field.name, key))
            except MissingMandatoryValue:
                self.problems.append(self._missing(_join(key, field.name), field, cls))
            except OmegaConfBaseException as error:
                self._note(node, field.name, key, error)
            except UserError as error:
                self.problems.append(f"{_join(key, field.name)}: {error}")
            else:
                values[field.name] = value
                if text := described(field).problem(value):
                    self.problems.append(f"{_join(key, field.name)} {text}")
            if self._count() > until_here:
                values.pop(field.name, None)
                wrong.append(field.name)
        if not key:
            self.parts = values
        if self._count() > before:
            broken = OptionError(cls.__name__, [*broken_rules(_incomplete(cls, values), wrong)])
        else:
            try:
                return cast("Settings", cls(**values))
            except OptionError as error:
                broken = error
        self.problems.extend(broken.texts(key))
        return None

    def _count(self) -> int:
        """How much has been found."""
        return len(self.problems) + len(self.deferred)

    def _missing(self, key: str, field: "dataclasses.Field[Any]", cls: type[Any]) -> str:
        group = group_of(typing.get_type_hints(cls)[field.name])
        if group is None:
            return f"{key} must be given: {described(field).doc}."
        ways = ways_to_choose(key, group, self._in_defaults, self._members)
        return f"{key} must be chosen ({described(field).doc}): {ways}."

    def _option(self, node: DictConfig, name: str, key: str) -> Any:
        value = node._get_node(name)
        if value is None:  # deleted with ~name
            raise MissingMandatoryValue
        if isinstance(value, ValueNode) and not value._is_interpolation():
            if value._is_missing():
                raise MissingMandatoryValue
            return value._value()  # a plain value: no need to go the long way
        return self._value(node[name], _join(key, name))

    def _note(self, node: DictConfig, name: str, key: str, error: Exception) -> None:
        child = node._get_node(name)
        assert isinstance(child, Node)
        if "${hydra:" in str(child._value()):
            self.deferred.append(_join(key, name))
        else:
            self.problems.append(f"{_join(key, name)}: {str(error).splitlines()[0]}")

    def _value(self, value: Any, key: str) -> Any:
        if isinstance(value, DictConfig) and dataclasses.is_dataclass(OmegaConf.get_type(value)):
            return self.settings(value, key)
        if isinstance(value, ListConfig):
            return [self._value(value[i], f"{key}[{i}]") for i in range(len(value))]
        return OmegaConf.to_object(value) if OmegaConf.is_config(value) else value


def _incomplete(cls: type[Any], values: dict[str, Any]) -> Settings:
    """Options of which some are missing: to look at, never to build with."""
    options = object.__new__(cls)
    vars(options).update(values)
    return options


def _from_home(value: Any) -> Any:
    """The value with `~` in paths written out: nobody else does it for those in YAML files."""
    if isinstance(value, list):
        return [_from_home(member) for member in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {k: _from_home(member) for k, member in cast("dict[Any, Any]", value).items()}
    return home_path(value) if isinstance(value, Path) else value


def home_path(path: Path) -> Path:
    """The path with a leading `~` or `~user` written out.

    Raises:
        UserError: there is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UserError(f"there is no home directory {path.parts[0]}.") from error


def type_of(node: DictConfig) -> type[Any]:
    """The settings class of a typed node."""
    cls = OmegaConf.get_type(node)
    if cls is None or not dataclasses.is_dataclass(cls):
        raise TypeError(f"a node of type {cls} is no settings class")
    return cls


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
    unknown = [] if cls is None else [_join(key, str(name)) for name in node if name not in known]
    return sorted(set(unknown) - _NOT_DECLARED)


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
        hint = f" Did you mean '{_join(key.rpartition('.')[0], closest)}'?" if closest else ""
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
    """A composed node as YAML that any reader understands: names for enums, text for paths.

    Args:
        node: the node, or plain values with the escapes that OmegaConf reads.
        resolve: whether to put values in the place of interpolations.
    """
    plain: Any = node
    if OmegaConf.is_config(node):
        plain = OmegaConf.to_container(node, resolve=resolve, enum_to_str=True)
        plain = escaped(plain_values(plain)) if resolve else plain
    return OmegaConf.to_yaml(OmegaConf.create(plain_values(plain)))


def escaped(plain: Any) -> Any:
    """Plain values as OmegaConf reads them back: a "${" that is text, a "???" that is a value."""
    if isinstance(plain, dict):
        items = cast("dict[Any, Any]", plain).items()
        return {key: escaped(member) for key, member in items}
    if isinstance(plain, list):
        return [escaped(member) for member in cast("list[Any]", plain)]
    if not isinstance(plain, str):
        return plain
    if re.fullmatch(r"\\*\?\?\?", plain):
        return f"\\{plain}"
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", plain)  # a backslash before it stands for two


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every (full key, value) below plain values; empty dictionaries and lists are values."""
    if isinstance(node, dict) and node:
        for name, member in cast("dict[Any, Any]", node).items():
            yield from leaves(member, _join(key, str(name)))
    else:
        yield key, node
