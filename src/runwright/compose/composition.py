"""Composition: from the command line and the YAML files to a checked, frozen `Config`.

Hydra composes; what is added here is strictness. Every composition, of a single run, of each job
of a multirun before the first one starts, and of the Python API, passes through one place, which
refuses what no option takes, checks bounds and rules, and reports all mistakes together.
"""

# Being strict about composition takes some of Hydra's and OmegaConf's inner parts.
# pyright: reportPrivateUsage=false

import copy
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, IConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig
from typing_extensions import override

from runwright.compose.conversion import Conversion
from runwright.compose.demands import Demands
from runwright.compose.diagnosis import Diagnosis, convert
from runwright.compose.explanation import USER_MISTAKES, text_of
from runwright.compose.hydra_part import wrong_in_hydra
from runwright.compose.pending import PendingJobs
from runwright.config import Config
from runwright.errors import ConfigError, UserError
from runwright.plain import home_path

if TYPE_CHECKING:
    from runwright.factory import Settings

CheckParts: TypeAlias = Callable[[Mapping[str, Any]], list[str]]

_KEPT_JOBS: Final = 5000


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
    """Hydra's loader, which also refuses what is wrong.

    Attributes:
        pending: the jobs of the multirun that is being composed.
        check_parts: finds what else is wrong with those options of a configuration with mistakes
            that are right by themselves, by name.
    """

    def __init__(
        self, config_search_path: ConfigSearchPath, pending: PendingJobs | None = None
    ) -> None:
        """Look for configurations along this path."""
        super().__init__(config_search_path)
        self.pending = PendingJobs() if pending is None else pending
        self.check_parts: CheckParts = _nothing
        self._checked: dict[tuple[str, ...], bytes] = {}
        self._merged: dict[str, bytes] | None = None
        self._read: dict[str, CachingConfigRepository] = {}
        self._converted: Settings | None = None
        self._demands = Demands()

    def __getstate__(self) -> dict[str, Any]:
        # What goes to another process stays small; that one launches nothing.
        held: dict[str, Any] = {"_checked": {}, "_merged": None, "_read": {}, "_converted": None}
        launched = PendingJobs()
        launched.launch()
        return {**self.__dict__, **held, "pending": launched, "check_parts": _nothing}

    @override
    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """The configuration of one job of a sweep.

        Hydra composes every job to check it before the first is launched, and again to launch it.
        In between they are kept, pickled (20 KB each), which halves the time. What the jobs have
        in common is read and merged once.
        """
        if self._merged is None:
            self._merged = {}
        key = tuple(sweep_overrides)
        if (kept := self._checked.pop(key, None)) is not None:
            return pickle.loads(kept)
        composed = super().load_sweep_config(master_config, sweep_overrides)
        if not self.pending.has_launched:
            if isinstance(self._converted, Config):
                self.pending.add(sweep_overrides, self._converted)
            if len(self._checked) < _KEPT_JOBS and (kept := _pickled(composed)) is not None:
                self._checked[key] = kept
        return composed

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
    def _parse_overrides_and_create_caching_repo(
        self,
        config_name: str | None,
        overrides: list[str],
        parsed_overrides: list[Override] | None = None,
    ) -> tuple[list[Override], CachingConfigRepository]:
        """Read files and schemas; for the jobs of a sweep, once.

        Nearly half of the time that composing a job takes.
        """
        if parsed_overrides is None:
            parsed_overrides = self.parse_overrides(config_name, overrides)
        # Where else they are looked for is the only thing that depends on the command line.
        paths = [one.input_line for one in parsed_overrides if "searchpath" in one.key_or_group]
        key = repr((config_name, paths))
        if self._merged is None or key not in self._read:
            _, repo = super()._parse_overrides_and_create_caching_repo(
                config_name, overrides, parsed_overrides
            )
            if self._merged is None:
                return parsed_overrides, repo
            self._read[key] = repo
        return parsed_overrides, self._read[key]

    @override
    def _compose_config_from_defaults_list(
        self, defaults: list[ResultDefault], repo: IConfigRepository
    ) -> DictConfig:
        """Merge files and schemas; for the jobs of a sweep that choose the same ones, once.

        That is most of the time that composing takes. A file that is edited while a sweep goes on
        is no concern of its later jobs.
        """
        if self._merged is None:
            return self._merge(defaults, repo)
        key = repr((defaults, [source.path for source in repo.get_sources()]))
        if (kept := self._merged.get(key)) is not None:
            return pickle.loads(kept)
        # Merging takes nodes out of what was read, which stays as it is for the next job.
        assert isinstance(repo, CachingConfigRepository)
        of_job = copy.copy(repo)
        of_job.cache = copy.deepcopy(dict(repo.cache))
        merged = self._merge(defaults, of_job)
        if (kept := _pickled(merged)) is not None:
            self._merged[key] = kept
        return merged

    def _merge(self, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        self._demands = Demands()
        merged = super()._compose_config_from_defaults_list(defaults, repo)
        self._demands.make(merged)
        return merged

    @override
    def _load_single_config(self, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
        loaded = super()._load_single_config(default, repo)
        self._demands.note(loaded.config)
        return loaded

    @override
    def _load_configuration(  # pyright: ignore[reportIncompatibleMethodOverride]  # passes the rest on
        self, config_name: str | None, overrides: list[str], run_mode: RunMode, **kwargs: Any
    ) -> DictConfig:
        from_shell: bool = kwargs.get("from_shell", True)
        try:
            composed = super()._load_configuration(config_name, overrides, run_mode, **kwargs)
            problems = wrong_in_hydra(composed, run_mode)
            if run_mode is RunMode.MULTIRUN:
                self.pending.composed = composed
            self._converted = None
            if run_mode is RunMode.RUN and config_name is not None:  # None: --hydra-help
                self._converted, conversion = convert(composed)
                problems += conversion.problems
        except (*USER_MISTAKES, AttributeError) as error:  # OmegaConf's, below what was deleted
            found = Diagnosis(self, config_name, overrides, run_mode, from_shell=from_shell)
            if isinstance(error, AttributeError) and not found.problems:
                raise
            raise ConfigError(self._all(found) or [text_of(error)]) from None
        if problems:
            # There may be others that composing did not get to see.
            found = Diagnosis(self, config_name, overrides, run_mode, from_shell=from_shell)
            raise ConfigError(self._all(found) or problems)
        return composed

    def _all(self, found: Diagnosis) -> list[str]:
        return [*found.problems, *self.check_parts(found.parts)] if found.problems else []


def _nothing(parts: Mapping[str, Any]) -> list[str]:
    del parts
    return []


def _pickled(node: DictConfig) -> bytes | None:
    """A node to be taken out again later; None where that is not possible.

    A class of the script itself is not found by its name where a profiler runs the script, or in a
    process that a launcher started.
    """
    try:
        return pickle.dumps(node)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None


def to_config(composed: DictConfig) -> Config:
    """The frozen configuration of a composed node.

    Raises:
        ConfigError: with everything that is wrong.
    """
    conversion = Conversion()
    config = conversion.settings(composed)
    if config is None:
        deferred = [f"{key}: only a running job knows this." for key in conversion.deferred]
        raise ConfigError(conversion.problems or deferred)
    assert isinstance(config, Config)
    return config


def write_out_home(override: str) -> str:
    """An override with `~` written out at the beginning of its values.

    A shell leaves alone what follows a `=`, and Hydra's grammar knows `~` only within quotes.

    Raises:
        UserError: there is no such user.
    """
    key, equals, value = override.partition("=")
    if set("'\"") & set(value):
        return override
    try:
        values = [
            str(home_path(Path(one))) if one.startswith("~") else one for one in value.split(",")
        ]
    except UserError as error:
        raise UserError(f"{override}: {error}") from error
    return key + equals + ",".join(values)
