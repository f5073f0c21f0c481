"""The strict loader: Hydra composes, and whatever is wrong with that is found and told.

Every composition, of a single run, of each job of a multirun before the first one starts, and of
the Python API, passes through one place, which refuses what no option takes, checks bounds and
rules, and reports all mistakes together.
"""

import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigSource
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from typing_extensions import override

from runwright.compose import files
from runwright.compose._hydra import Composer, Repository
from runwright.compose.collect import Mistakes, convert
from runwright.compose.convert import Conversion
from runwright.compose.explain import USER_MISTAKES, text_of
from runwright.compose.file_shapes import wrong_shape, wrong_shapes
from runwright.compose.hydra_options import wrong_in_hydra
from runwright.compose.other_member import with_other_members
from runwright.compose.overrides import given_twice, is_structural
from runwright.compose.pending import PendingJobs
from runwright.compose.values import give
from runwright.config import Config
from runwright.errors import ConfigError

if TYPE_CHECKING:
    from runwright.factory import Settings

CheckParts: TypeAlias = Callable[[Mapping[str, Any]], list[str]]
CheckMultirun: TypeAlias = Callable[[DictConfig], list[str]]

_MOST_BASES: Final = 100


class DelegatingLoader(ConfigLoader):
    """Hydra's loader, as it is."""

    def __init__(self, path: ConfigSearchPath) -> None:
        """Look for configurations along this path."""
        self.composer = Composer(path)

    @override
    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        return self.composer.loader.load_configuration(
            config_name, overrides, run_mode, from_shell, validate_sweep_overrides
        )

    @override
    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        return self.composer.loader.load_sweep_config(master_config, sweep_overrides)

    @override
    def get_mode(self, config_name: str | None, overrides: list[str]) -> Any:
        return self.composer.mode(config_name, overrides)

    @override
    def get_search_path(self) -> ConfigSearchPath:
        return self.composer.loader.get_search_path()

    @override
    def get_sources(self) -> list[ConfigSource]:
        return self.composer.loader.get_sources()

    @override
    def list_groups(self, parent_name: str) -> list[str]:
        return self.composer.loader.list_groups(parent_name)

    @override
    def get_group_options(
        self,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        return self.composer.loader.get_group_options(
            group_name, results_filter, config_name, overrides
        )

    @override
    def compute_defaults_list(
        self, config_name: str | None, overrides: list[str], run_mode: RunMode
    ) -> Any:
        return self.composer.loader.compute_defaults_list(config_name, overrides, run_mode)


class StrictConfigLoader(DelegatingLoader):
    """Hydra's loader, which also refuses what is wrong.

    Attributes:
        pending: the jobs of the multirun that is being composed.
        check_parts: finds what else is wrong with those options of a configuration with mistakes
            that are right by themselves, by name.
    """

    def __init__(self, path: ConfigSearchPath) -> None:
        """Look for configurations along this path."""
        super().__init__(path)
        self.pending = PendingJobs()
        self.check_parts: CheckParts = _nothing
        self.check_multirun: CheckMultirun = _nothing
        self._bases: dict[str, bytes] = {}
        self._checked: set[tuple[str, ...]] = set()
        self._repository: Repository | None = None
        self._converted: dict[tuple[str, ...], Config] = {}
        self._of_file: tuple[str, ...] | None = None  # see OtherMembers

    def __getstate__(self) -> dict[str, Any]:
        # What goes to another process stays small; that one launches nothing.
        launched = PendingJobs()
        launched.launch()
        held: dict[str, Any] = {"_bases": {}, "_checked": set(), "_converted": {}}
        held |= {"_repository": None, "pending": launched, "check_parts": _nothing}
        held |= {"check_multirun": _nothing}
        return {**self.__dict__, **held}

    @override
    def get_mode(self, config_name: str | None, overrides: list[str]) -> Any:
        self._refuse_wrong_shape(config_name)
        return super().get_mode(config_name, overrides)

    @override
    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """Compose a configuration.

        Raises:
            ConfigError: with everything that is wrong.
        """
        self._refuse_wrong_shape(config_name)
        other = with_other_members(
            lambda chosen: self.load_configuration(
                config_name, chosen, run_mode, from_shell, validate_sweep_overrides
            ),
            overrides,
        )
        if other is not None:
            if run_mode is RunMode.MULTIRUN:
                self.pending.composed, self._of_file = other.composed, other.of_file
                print(other.note, file=sys.stderr)
            return other.composed
        told, problems = given_twice(overrides), list[str]()
        config: Settings | None = None
        try:
            parsed = self.composer.parse(config_name, overrides)
            self._repository = None
            composed, found = self._compose(config_name, parsed, run_mode)
            problems = found + wrong_in_hydra(composed, run_mode, self)
            problems += files.misplaced(composed, self.composer.last_repository, config_name)
            if run_mode is RunMode.MULTIRUN:
                self.pending.composed = composed
                told += self.check_multirun(composed)
            elif config_name is not None:  # None: --hydra-help
                config, conversion = convert(composed)
                problems += conversion.problems
        except (*USER_MISTAKES, AttributeError) as error:  # OmegaConf's, below what was deleted
            collected = self._collect(config_name, overrides, run_mode, from_shell=from_shell)
            if isinstance(error, AttributeError) and not collected:
                raise
            raise ConfigError([*told, *(collected or [text_of(error)])]) from None
        if told or problems:
            # There may be others that composing did not get to see.
            collected = self._collect(config_name, overrides, run_mode, from_shell=from_shell)
            raise ConfigError([*told, *(collected or problems)])
        if isinstance(config, Config):
            self._converted[_task(composed)] = config
        return composed

    @override
    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """The configuration of one job of a multirun.

        Jobs that differ in values only share what is composed of files and schemas, and get their
        values applied to a copy of it. Hydra asks for every job to check it before the first is
        launched, and again to launch it: it is checked once.
        """
        of_hydra = _texts(master_config.hydra.overrides.hydra)
        overrides = [*(of_hydra if self._of_file is None else self._of_file), *sweep_overrides]
        config_name: str | None = master_config.hydra.job.config_name
        key = tuple(sweep_overrides)
        try:
            # What stands for others is written out in the multirun's own configuration already.
            parsed = OverridesParser.create().parse_overrides(overrides)
            composed, problems = self._compose(config_name, parsed, RunMode.RUN, is_job=True)
            if self._of_file is not None:
                composed.hydra.sweeper = master_config.hydra.sweeper
                composed.hydra.overrides.hydra = master_config.hydra.overrides.hydra
            self.composer.check_controllers(master_config, composed)
            OmegaConf.copy_cache(from_config=master_config, to_config=composed)
            if key in self._checked:
                self._checked.discard(key)
                return composed
            problems += wrong_in_hydra(composed, RunMode.RUN, self)
            config, conversion = convert(composed)
            problems += conversion.problems
        except (*USER_MISTAKES, AttributeError) as error:
            collected = self._collect(config_name, overrides, RunMode.RUN, from_shell=True)
            raise ConfigError(collected or [text_of(error)]) from None
        if problems:
            collected = self._collect(config_name, overrides, RunMode.RUN, from_shell=True)
            raise ConfigError(collected or problems)
        if isinstance(config, Config):
            self._converted[_task(composed)] = config
            self.pending.add(sweep_overrides, config)
        if not self.pending.has_launched:
            self._checked.add(key)
        return composed

    def take_config(self, task: Any, composed: DictConfig) -> Config:
        """The frozen configuration of what this loader has composed, if need be made now.

        Args:
            task: the overrides of the application that it was composed with.
            composed: what was composed.

        Raises:
            ConfigError: with everything that is wrong.
        """
        made = self._converted.pop(_texts(task), None)
        return to_config(composed) if made is None else made

    def _compose(
        self,
        config_name: str | None,
        parsed: list[Override],
        run_mode: RunMode,
        *,
        is_job: bool = False,
    ) -> tuple[DictConfig, list[str]]:
        """Compose files and schemas, or take a copy of what they came to, and give the values."""
        self.composer.check_sweeps(parsed, run_mode)
        repository = self._repository or self.composer.usual_repository
        base = [one for one in parsed if is_structural(one, repository)]
        key = repr((config_name, [one.input_line for one in base]))
        problems: list[str] = []
        if is_job and (kept := self._bases.get(key)) is not None:
            composed: DictConfig = pickle.loads(kept)
        else:
            composed = self._compose_files(config_name, base, run_mode)
            found = self.composer.last_repository
            if len(found.sources) > len(repository.sources):  # which may have further groups
                base = [one for one in parsed if is_structural(one, found)]
                composed = self.composer.compose(config_name, base, run_mode)
            if not is_job:
                self._repository = repository = found
            problems = files.settle(composed, self.composer, repository, config_name, base)
            kept = _pickled(composed) if is_job and not problems else None
            if kept is not None and len(self._bases) < _MOST_BASES:
                self._bases[key] = kept
        for one in parsed:
            if not (one.is_sweep_override() or is_structural(one, repository)):
                self._give(one, composed, run_mode)
        _record(parsed, composed)
        return composed, problems

    def _compose_files(
        self, config_name: str | None, base: list[Override], run_mode: RunMode
    ) -> DictConfig:
        try:
            return self.composer.compose(config_name, base, run_mode)
        except OSError:  # OmegaConf's too, of a file that holds no options
            if problems := wrong_shapes(self.composer.usual_repository):
                raise ConfigError(problems) from None
            raise

    def _refuse_wrong_shape(self, config_name: str | None) -> None:
        """Look at the primary configuration, which Hydra reads in many ways before it composes."""
        repository = self.composer.usual_repository
        if config_name is not None and (text := wrong_shape(repository, config_name)):
            raise ConfigError([text])

    def _give(self, one: Override, composed: DictConfig, run_mode: RunMode) -> None:
        try:
            give(one, composed, self.composer)
        except USER_MISTAKES:
            # A multirun's own configuration has members that none of its jobs may have.
            if run_mode is not RunMode.MULTIRUN:
                raise

    def _collect(
        self, config_name: str | None, overrides: list[str], run_mode: RunMode, *, from_shell: bool
    ) -> list[str]:
        found = Mistakes(self.composer, config_name, overrides, run_mode, from_shell=from_shell)
        return [*found.problems, *self.check_parts(found.parts)] if found.problems else []


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


def _record(parsed: Sequence[Override], composed: DictConfig) -> None:
    """Note in Hydra's part, as Hydra does, what was typed."""
    of_hydra = [one.input_line for one in parsed if one.is_hydra_override()]
    of_task = [one.input_line for one in parsed if not one.is_hydra_override()]
    composed.hydra.overrides.hydra = of_hydra
    composed.hydra.overrides.task = of_task


def _task(composed: DictConfig) -> tuple[str, ...]:
    return _texts(composed.hydra.overrides.task)


def _texts(overrides: Any) -> tuple[str, ...]:
    """Overrides as they were typed: an interpolation in one is not to be resolved."""
    plain: Any = OmegaConf.to_container(overrides, resolve=False)
    return tuple(plain)


def _nothing(looked_at: Any) -> list[str]:
    del looked_at
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
