"""What is wrong with a configuration: all of it, each mistake with its place and the way out.

Hydra stops at the first mistake. When there is one, `Diagnosis` composes once more, one piece at a
time, leaves out what does not fit, and goes on.
"""

# Being strict about composition takes some of Hydra's and OmegaConf's inner parts.
# pyright: reportPrivateUsage=false

import copy
import dataclasses
import enum
import inspect
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.defaults_list import create_defaults_list
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from runwright import schema
from runwright.errors import did_you_mean, nearest

USER_MISTAKES: Final = (
    HydraException,
    OmegaConfBaseException,
    yaml.YAMLError,
    RecursionError,
    ValueError,
)

_CIRCLE: Final = (
    "The defaults lists lead in a circle: a YAML file names itself, perhaps because it has the "
    "name of what it starts from. A file conf/model/cnn.yaml that begins with `- cnn` needs "
    "another name."
)
_NO_SCHEMA: Final = (
    "The primary configuration has no schema. Begin its defaults list with "
    f"`- {schema.SCHEMA_NAME}`."
)


class Diagnosis:
    """Composes again, one piece at a time, to find everything that is wrong.

    Attributes:
        problems: one text a mistake.
    """

    def __init__(
        self,
        loader: ConfigLoaderImpl,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
    ) -> None:
        """Find what is wrong with these overrides of this configuration."""
        self.problems: list[str] = []
        self._repository = CachingConfigRepository(loader.repository)
        self._loader = loader
        parsed = self._parse(overrides, run_mode)
        try:
            wrong_groups = self._wrong_choices(parsed)
        except USER_MISTAKES as error:
            self.problems.extend(_wrong_suffixes(loader) or [text_of(error)])
            return
        usable = [o for o in parsed if o.key_or_group.split(".")[0] not in wrong_groups]
        try:
            defaults = create_defaults_list(
                repo=self._repository,
                config_name=config_name,
                overrides_list=usable,
                prepend_hydra=True,
                skip_missing=True,  # what was not chosen is found below, together with all else
            )
        except USER_MISTAKES as error:
            # The data look for the group that the schema brings.
            no_schema = "override '/objective@_global_.objective" in str(error)
            self.problems.append(_NO_SCHEMA if no_schema else self._explain_missing(error))
            return
        composed = self._merge(defaults.defaults)
        OmegaConf.set_struct(composed, True)
        for one in defaults.config_overrides:
            attempt = copy.deepcopy(composed)
            try:
                loader._apply_overrides_to_config([one], attempt)
                composed = attempt
            except (*USER_MISTAKES, AttributeError) as error:
                self.problems.append(_explain_override(one, error, composed))
        if run_mode is not RunMode.MULTIRUN:
            found = problems_of(composed)
            if "dm" in wrong_groups or any(text.startswith("dm must be chosen") for text in found):
                wrong_groups.add("objective")  # it would follow from the data
            answered = tuple(f"{group} must be chosen" for group in wrong_groups)
            self.problems.extend(text for text in found if not text.startswith(answered))

    def _parse(self, overrides: Sequence[str], run_mode: RunMode) -> list[Override]:
        parsed: list[Override] = []
        for text in overrides:
            try:
                one = OverridesParser.create().parse_overrides([text])
                self._loader.validate_sweep_overrides_legal(one, run_mode, from_shell=True)
            except USER_MISTAKES as error:
                self.problems.append(text_of(error))
            else:
                parsed.extend(one)
        return parsed

    def _wrong_choices(self, overrides: Sequence[Override]) -> set[str]:
        """The groups for which a member was named that does not exist."""
        wrong: set[str] = set()
        for one in overrides:
            group = one.key_or_group
            if one.is_sweep_override() or not self._repository.group_exists(group):
                continue
            value = one.value()
            members = self._repository.get_group_options(group)
            names = cast("list[object]", value if isinstance(value, list) else [value])
            for name in names:
                if isinstance(name, str) and not self._repository.config_exists(f"{group}/{name}"):
                    wrong.add(group)
                    hint = did_you_mean(name, members)
                    self.problems.append(f"{group}={name}: there is no such {group}. {hint}")
        return wrong

    def _explain_missing(self, error: BaseException) -> str:
        """The text for a defaults list that cannot be followed, with the nearest right name."""
        missing = error.missing_cfg_file if isinstance(error, MissingConfigException) else None
        if missing is None:
            return text_of(error)
        group, _, name = missing.rpartition("/")
        first = str(error).splitlines()[0]
        return f"{first} {did_you_mean(name, self._repository.get_group_options(group))}"

    def _merge(self, defaults: Sequence[ResultDefault]) -> DictConfig:
        """Compose what the files hold, leaving out what does not fit and noting it."""
        composed = OmegaConf.create()
        for default in defaults:
            file = f"{default.config_path}.yaml"
            try:
                loaded = self._loader._load_single_config(default, self._repository)
            except USER_MISTAKES as error:
                self.problems.append(f"In {file}: {text_of(error)}")
                continue
            try:
                composed.merge_with(loaded.config)
            except OmegaConfBaseException:
                self._merge_leaves(composed, loaded.config, file)
            for node, key in list(_typed_nodes(composed)):
                with open_dict(node):
                    if node._get_flag("HYDRA_REMOVE_TOP_LEVEL_DEFAULTS"):
                        node._set_flag("HYDRA_REMOVE_TOP_LEVEL_DEFAULTS", None)
                        node.pop("defaults", None)
                    for name in schema.unknown_names(node):
                        text = schema.unknown_key(f"{key}.{name}".lstrip("."), schema.type_of(node))
                        self.problems.append(f"In {file}: {text}")
                        node.pop(name)
        return composed

    def _merge_leaves(self, composed: DictConfig, loaded: Any, file: str) -> None:
        """Merge a file option by option, to find all of those that do not fit."""
        for key, value in schema.leaves(OmegaConf.to_container(loaded, resolve=False)):
            nested: dict[str, Any] = value
            for name in reversed(key.split(".")):
                nested = {name: nested}
            try:
                composed.merge_with(OmegaConf.create(nested))
            except OmegaConfBaseException as error:
                if text := _explain_key(key, error, composed):
                    self.problems.append(f"In {file}: {text}")


def problems_of(composed: DictConfig) -> list[str]:
    """What is wrong with a composed node."""
    ours = without_hydra(composed)
    if OmegaConf.get_type(ours) in (dict, None):
        return [_NO_SCHEMA]
    conversion = schema.Conversion()
    conversion.settings(ours)
    return conversion.problems


def without_hydra(composed: DictConfig) -> DictConfig:
    """The application's part of a composed node."""
    ours = copy.copy(composed)
    OmegaConf.set_struct(ours, False)
    ours.pop("hydra", None)
    return ours


def _typed_nodes(node: DictConfig, key: str = "") -> Iterator[tuple[DictConfig, str]]:
    """Every node with the type of a settings class, and its key."""
    if dataclasses.is_dataclass(OmegaConf.get_type(node)):
        yield node, key
    for name in list(node) if not (node._is_none() or node._is_missing()) else ():
        child = node._get_node(name)
        if isinstance(child, DictConfig) and name != "hydra":
            yield from _typed_nodes(child, f"{key}.{name}".lstrip("."))


def _wrong_suffixes(loader: ConfigLoaderImpl) -> list[str]:
    """A text for every file on the search path that Hydra does not read for its suffix."""
    elements = loader.config_search_path.get_path()
    folders = [Path(e.path.removeprefix("file://")) for e in elements if e.path.startswith("file:")]
    return [
        f"{file}: only files with the suffix .yaml are read. Rename it to {file.stem}.yaml."
        for folder in folders
        for file in sorted(folder.rglob("*.yml"))
    ]


def text_of(error: BaseException) -> str:
    """The text of an error of Hydra's, OmegaConf's or YAML's, with its cause."""
    if isinstance(error, RecursionError):
        return _CIRCLE
    cause = error.__cause__
    text = str(error).strip()
    if isinstance(cause, OmegaConfBaseException) and str(cause) not in text:
        text = f"{text}\n{cause}".strip()
    return text


def _explain_override(one: Override, error: Exception, composed: DictConfig) -> str:
    """Hydra's text for an override that does not fit, and the nearest name that would."""
    key = one.key_or_group
    if isinstance(error, AttributeError):
        return f"{key}: '{key.rpartition('.')[0]}' was not chosen, so there is nothing below it."
    text = text_of(error)
    try:
        parent = OmegaConf.select(composed, key.rpartition(".")[0]) if "." in key else composed
    except (OmegaConfBaseException, AttributeError):  # below something that was not chosen
        return text
    cls = OmegaConf.get_type(parent) if OmegaConf.is_config(parent) else None
    known = [str(name) for name in parent] if isinstance(parent, DictConfig) else []
    name = key.rpartition(".")[2]
    if cls is None:
        return text
    if name in known:
        hint = _nearest_value(cls, name, one.value())
        return f"{text}\n{hint}".strip()
    closest = nearest(name, [name for name in known if name != "hydra"])
    prefix = key[: len(key) - len(name)]
    hint = f"Did you mean '{prefix}{closest}'? " if closest else ""
    return f"{text}\n{hint}{cls.__name__} has: {', '.join(n for n in known if n != 'hydra')}."


def _nearest_value(cls: type[Any], name: str, value: object) -> str:
    """A sentence with the nearest allowed value, for an option that is one of several names."""
    hint: Any = typing.get_type_hints(cls).get(name)
    names: list[str] = []
    for kind in typing.get_args(hint) or (hint,):
        if isinstance(kind, enum.EnumType):
            names += list(kind.__members__)  # aliases too
    if typing.get_origin(hint) is typing.Literal:
        names = [str(member) for member in typing.get_args(hint)]
    closest = nearest(str(value), names)
    return f"Did you mean '{closest}'?" if closest else ""


def _explain_key(key: str, error: Exception, composed: DictConfig) -> str | None:
    """The text for a key in a file that does not fit: unknown, or with a wrong value.

    None where it is not known what would fit, as the file does not say what it changes; that is
    found when the node is converted.
    """
    node, path = composed, ""
    for name in key.split("."):
        path = f"{path}.{name}".lstrip(".")
        if not dataclasses.is_dataclass(OmegaConf.get_type(node)):
            break
        if inspect.isabstract(schema.type_of(node)):
            return None
        if name not in node:
            return schema.unknown_key(path, schema.type_of(node))
        child = node._get_node(name)
        if not isinstance(child, DictConfig):
            break
        node = child
    return f"{key}: {str(error).splitlines()[0]}"
