"""Composition: from the command line and the YAML files to a checked, frozen `Config`.

Hydra composes; what is added here is strictness. Every composition, of a single run, of each job
of a multirun before the first one starts, and of the Python API, passes through one place, which
refuses what no option takes, checks bounds and rules, and reports all mistakes together.
"""

# Being strict about composition takes some of Hydra's and OmegaConf's inner parts.
# pyright: reportPrivateUsage=false

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.defaults_list import create_defaults_list
from hydra._internal.utils import create_config_search_path
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from typing_extensions import override

from runwright import schema
from runwright.errors import ConfigError, UserError, did_you_mean, nearest
from runwright.run import Config

CONFIG_NAME: Final = "config"

_USER_MISTAKES: Final = (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError)


def search_path(conf: Path | None, config_dir: Path | None = None) -> ConfigSearchPathImpl:
    """Where configurations are looked for: `config_dir` first, then `conf`, then the schema."""
    path = cast(
        "ConfigSearchPathImpl",
        create_config_search_path(None if conf is None else f"file://{conf}"),
    )
    if config_dir is not None:
        # Before the project's own folder, so that a run directory's config.yaml is the one taken.
        path.prepend("command-line", f"file://{config_dir}")
    return path


class StrictConfigLoader(ConfigLoaderImpl):
    """Hydra's loader, which also refuses what is wrong."""

    def config(self, composed: DictConfig) -> Config:
        """The frozen configuration of a composed node.

        Raises:
            ConfigError: with everything that is wrong.
        """
        return to_config(composed)

    @override
    def get_mode(
        self,
        config_name: str | None,
        overrides: list[str],
        parsed_overrides: list[Override] | None = None,
    ) -> Any:
        if parsed_overrides is None:
            parsed_overrides = self.parse_overrides(config_name, overrides)
        return super().get_mode(config_name, overrides, parsed_overrides)

    @override
    def _load_configuration(  # pyright: ignore[reportIncompatibleMethodOverride]  # passes the rest on
        self, config_name: str | None, overrides: list[str], run_mode: RunMode, **kwargs: Any
    ) -> DictConfig:
        try:
            composed = super()._load_configuration(config_name, overrides, run_mode, **kwargs)
            problems = [] if run_mode is RunMode.MULTIRUN else _problems(composed)
        except _USER_MISTAKES as error:
            problems = Diagnosis(self, config_name, overrides, run_mode).problems or [_text(error)]
            raise ConfigError(problems) from None
        if problems:
            # There may be others that composing did not get to see.
            raise ConfigError(
                Diagnosis(self, config_name, overrides, run_mode).problems or problems
            )
        return composed


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
        wrong_groups = self._wrong_choices(parsed)
        usable = [o for o in parsed if o.key_or_group.split(".")[0] not in wrong_groups]
        try:
            defaults = create_defaults_list(
                repo=self._repository,
                config_name=config_name,
                overrides_list=usable,
                prepend_hydra=True,
                skip_missing=True,  # what was not chosen is found below, together with all else
            )
        except _USER_MISTAKES as error:
            # The data look for the group that the schema brings.
            no_schema = "override '/objective@_global_.objective" in str(error)
            self.problems.append(_NO_SCHEMA if no_schema else _text(error))
            return
        composed = self._merge(defaults.defaults)
        OmegaConf.set_struct(composed, True)
        for one in defaults.config_overrides:
            attempt = copy.deepcopy(composed)
            try:
                loader._apply_overrides_to_config([one], attempt)
                composed = attempt
            except _USER_MISTAKES as error:
                self.problems.append(_explain_override(one, error, composed))
        if run_mode is not RunMode.MULTIRUN:
            found = _problems(composed)
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
            except _USER_MISTAKES as error:
                self.problems.append(_text(error))
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

    def _merge(self, defaults: Sequence[ResultDefault]) -> DictConfig:
        """Compose what the files hold, leaving out what does not fit and noting it."""
        composed = OmegaConf.create()
        for default in defaults:
            file = f"{default.config_path}.yaml"
            try:
                loaded = self._loader._load_single_config(default, self._repository)
            except _USER_MISTAKES as error:
                self.problems.append(f"In {file}: {_text(error)}")
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
                self.problems.append(f"In {file}: {_explain_key(key, error, composed)}")


def to_config(composed: DictConfig) -> Config:
    """The frozen configuration of a composed node.

    Raises:
        ConfigError: with everything that is wrong.
    """
    conversion = schema.Conversion()
    config = conversion.settings(composed)
    if config is None:
        raise ConfigError(conversion.problems)
    assert isinstance(config, Config)
    return config


def compose(
    overrides: Sequence[str] = (),
    *,
    conf: Path | str | None = None,
    config_name: str = CONFIG_NAME,
    config: type[Config] = Config,
) -> Config:
    """Compose a configuration as the command line does.

    Args:
        overrides: what would stand on the command line, e.g. `["model=cnn", "seed=1"]`.
        conf: the folder of YAML files; by default the `conf/` with the primary configuration in
            the working directory or the nearest above it, if there is one.
        config_name: the primary configuration, without `.yaml`.
        config: the class of the configuration.

    Raises:
        ConfigError: with everything that is wrong.
    """
    register_domains()
    schema.store(config)
    folder = nearest_conf(config_name) if conf is None else Path(conf).resolve()
    if folder is not None and not folder.is_dir():
        raise UserError(f"conf={conf}: there is no such folder.")
    loader = StrictConfigLoader(search_path(folder))
    composed = loader.load_configuration(
        config_name, list(overrides), RunMode.RUN, from_shell=False
    )
    return to_config(without_hydra(composed))


def nearest_conf(config_name: str = CONFIG_NAME) -> Path | None:
    """The `conf/` with this primary configuration, in the working directory or above it."""
    here = Path.cwd()
    candidates = (folder / "conf" for folder in (here, *here.parents))
    return next((conf for conf in candidates if (conf / f"{config_name}.yaml").is_file()), None)


def without_hydra(composed: DictConfig) -> DictConfig:
    """The application's part of a composed node."""
    ours = copy.copy(composed)
    OmegaConf.set_struct(ours, False)
    ours.pop("hydra", None)
    return ours


def register_domains() -> None:
    """Import the factories of every domain in the package: every folder with a `factories.py`."""
    import importlib
    import pkgutil

    import runwright

    for module in pkgutil.iter_modules(runwright.__path__):
        if module.ispkg and (Path(runwright.__path__[0]) / module.name / "factories.py").exists():
            importlib.import_module(f"runwright.{module.name}.factories")


def _problems(composed: DictConfig) -> list[str]:
    """What is wrong with a composed node; values that are known only in a job are left out."""
    ours = without_hydra(composed)
    if OmegaConf.get_type(ours) in (dict, None):
        return [_NO_SCHEMA]
    conversion = schema.Conversion()
    conversion.settings(ours)
    return conversion.problems


_NO_SCHEMA: Final = (
    "The primary configuration has no schema. Begin its defaults list with "
    f"`- {schema.SCHEMA_NAME}`."
)


def _typed_nodes(node: DictConfig, key: str = "") -> Iterator[tuple[DictConfig, str]]:
    """Every node with the type of a settings class, and its key."""
    if dataclasses.is_dataclass(OmegaConf.get_type(node)):
        yield node, key
    for name in list(node) if not (node._is_none() or node._is_missing()) else ():
        child = node._get_node(name)
        if isinstance(child, DictConfig) and name != "hydra":
            yield from _typed_nodes(child, f"{key}.{name}".lstrip("."))


def _text(error: BaseException) -> str:
    """The text of an error of Hydra's, OmegaConf's or YAML's, with its cause."""
    cause = error.__cause__
    text = str(error).strip()
    if isinstance(cause, OmegaConfBaseException) and str(cause) not in text:
        text = f"{text}\n{cause}".strip()
    return text


def _explain_override(one: Override, error: Exception, composed: DictConfig) -> str:
    """Hydra's text for an override that does not fit, and the nearest name that would."""
    key = one.key_or_group
    text = _text(error)
    parent = OmegaConf.select(composed, key.rpartition(".")[0]) if "." in key else composed
    cls = OmegaConf.get_type(parent) if OmegaConf.is_config(parent) else None
    known = [str(name) for name in parent] if isinstance(parent, DictConfig) else []
    name = key.rpartition(".")[2]
    if cls is None or name in known:
        return text
    closest = nearest(name, [name for name in known if name != "hydra"])
    prefix = key[: len(key) - len(name)]
    hint = f"Did you mean '{prefix}{closest}'? " if closest else ""
    return f"{text}\n{hint}{cls.__name__} has: {', '.join(n for n in known if n != 'hydra')}."


def _explain_key(key: str, error: Exception, composed: DictConfig) -> str:
    """The text for a key in a file that does not fit: unknown, or with a wrong value."""
    node, path = composed, ""
    for name in key.split("."):
        path = f"{path}.{name}".lstrip(".")
        if not dataclasses.is_dataclass(OmegaConf.get_type(node)):
            break
        if name not in node:
            return schema.unknown_key(path, schema.type_of(node))
        child = node._get_node(name)
        if not isinstance(child, DictConfig):
            break
        node = child
    return f"{key}: {str(error).splitlines()[0]}"
