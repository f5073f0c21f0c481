"""The strict loader: Hydra composes, and whatever is wrong with the result is reported.

Every composition (a single run, each job of a multirun before the first one starts, the Python
API) goes through one place, which refuses whatever is not an option, checks bounds and rules, and
reports all mistakes together.
"""

import functools
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from typing_extensions import override

from runwright.compose import files
from runwright.compose._hydra import Repository
from runwright.compose.collect import Mistakes, check
from runwright.compose.convert import Conversion, convert
from runwright.compose.delegating_loader import DelegatingLoader
from runwright.compose.explain import USER_MISTAKES, text_of
from runwright.compose.file_shapes import wrong_shape, wrong_shapes
from runwright.compose.hydra_options import numbers_for_flags, wrong_in_hydra
from runwright.compose.other_member import with_other_members
from runwright.compose.overrides import given_twice, replaced_later, structural
from runwright.compose.pending import PendingJobs
from runwright.compose.references import without_reference, without_training
from runwright.compose.texts import keep_texts, keep_texts_of_params
from runwright.compose.values import give
from runwright.config import Config
from runwright.errors import ConfigError, NotGiven
from runwright.plain import home_path

if TYPE_CHECKING:
    from runwright.factory import Settings

CheckParts: TypeAlias = Callable[[Mapping[str, Any]], list[str]]
CheckMultirun: TypeAlias = Callable[[DictConfig], list[str]]

_MOST_BASES: Final = 100
_PARSER: Final = OverridesParser.create()  # half of the time of a short text


class StrictConfigLoader(DelegatingLoader):
    """Hydra's loader, which also refuses what is wrong.

    Attributes:
        pending: the jobs of the multirun that is being composed.
        left_to_launcher: whether to compose no job now, because the launcher composes and checks
            all before it starts any. Hydra's sweeper asks for every job first, to find mistakes.
        check_parts: when a configuration has mistakes, finds what else is wrong with those options
            that are right by themselves, by name.
        may_lack_options: whether options may be missing that a run needs, as for `--help`.
    """

    def __init__(self, path: ConfigSearchPath) -> None:
        """Look for configurations along this path."""
        super().__init__(path)
        self.pending = PendingJobs()
        self.left_to_launcher = False
        self.check_parts: CheckParts = _nothing
        self.check_multirun: CheckMultirun = _nothing
        self.may_lack_options = False
        self._bases: dict[tuple[str, ...], bytes] = {}
        self._checked: set[tuple[str, ...]] = set()
        self._repository: Repository | None = None
        self._converted: dict[tuple[str, ...], Config] = {}
        self._of_file: tuple[str, ...] | None = None  # see OtherMembers

    def __getstate__(self) -> dict[str, Any]:
        # Keep what is sent to another process small; that process launches nothing.
        launched = PendingJobs()
        launched.launch()
        launched.began = self.pending.began
        held: dict[str, Any] = {"_bases": {}, "_checked": set(), "_converted": {}}
        held |= {"_repository": None, "pending": launched, "check_parts": _nothing}
        held |= {"check_multirun": _nothing, "left_to_launcher": False}
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
        replaced = replaced_later(overrides)
        told, problems = [*given_twice(overrides), *replaced.values()], list[str]()
        kept = [text for text in overrides if text not in replaced]
        config: Settings | None = None
        try:
            parsed = self.composer.parse(config_name, overrides)
            parsed = keep_texts(parsed, of_task=run_mode is RunMode.MULTIRUN)
            composed, found = self._compose(config_name, parsed, run_mode)
            told += _overwriting_always(composed, parsed)
            config, conversion = check(composed, config_name, run_mode, self)
            problems = [*found, *conversion.problems]
            if self.may_lack_options:
                problems = [text for text in problems if not isinstance(text, NotGiven)]
            if run_mode is RunMode.MULTIRUN:
                self.pending.composed = composed
                self._bases.clear()  # those of jobs of another
                told += self.check_multirun(composed)
        # OmegaConf's, under a deleted key or at a place of a list that is no number
        except (*USER_MISTAKES, AttributeError, TypeError) as error:
            collected = self._collect(config_name, kept, run_mode, from_shell=from_shell)
            if isinstance(error, AttributeError | TypeError) and not collected:
                raise
            # What is given twice, Hydra may refuse in its own words.
            found = collected or ([] if told else [text_of(error)])
            raise ConfigError([*told, *found]) from None
        if told or problems:
            # There may be others that composing did not reach.
            collected = self._collect(config_name, kept, run_mode, from_shell=from_shell)
            raise ConfigError([*told, *(collected or problems)])
        if isinstance(config, Config):
            self._converted[_task(composed)] = config
        return composed

    @override
    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """The configuration of one job of a multirun.

        Jobs that differ only in values share what is composed from files and schemas, and get their
        values applied to a copy of it. Hydra asks for every job once to check it before the first
        is launched, and again to launch it; it is checked only once.
        """
        if self.left_to_launcher:
            return master_config
        of_hydra = self._of_file
        if of_hydra is None:
            of_hydra = _texts(master_config.hydra.overrides.hydra)
        overrides = [*of_hydra, *sweep_overrides]
        config_name: str | None = master_config.hydra.job.config_name
        key = tuple(sweep_overrides)
        try:
            # What stands for others is written out in the multirun's own configuration already.
            parsed = [*_parsed_once(of_hydra), *_parsed(key)]
            composed, problems = self._compose_job(config_name, parsed, master_config)
            problems += _overwriting_always(composed, parsed)
            OmegaConf.copy_cache(from_config=master_config, to_config=composed)
            if key in self._checked:
                self._checked.discard(key)
                return composed
            config, conversion = convert(composed)
            problems += conversion.problems
        except (*USER_MISTAKES, AttributeError, TypeError) as error:
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
        """The frozen configuration of what this loader has composed, made now if necessary.

        Args:
            task: the overrides of the application that it was composed with.
            composed: what was composed.

        Raises:
            ConfigError: with everything that is wrong.
        """
        made = self._converted.pop(_texts(task), None)
        return to_config(composed) if made is None else made

    def config_of(self, composed: DictConfig) -> Config | None:
        """The frozen configuration of a job that this loader has composed and found in order.

        None where there are values that only the running job knows.
        """
        made = self._converted.pop(_task(composed), None) or convert(composed)[0]
        assert made is None or isinstance(made, Config)
        return made

    def _compose(
        self, config_name: str | None, parsed: list[Override], run_mode: RunMode
    ) -> tuple[DictConfig, list[str]]:
        """Compose files and schemas, and give the values."""
        self.composer.check_sweeps(parsed, run_mode)
        usual = self.composer.usual_repository
        composed, problems, self._repository = self._base(config_name, parsed, run_mode, usual)
        self._give_values(parsed, composed, self._repository, run_mode)
        problems += [*without_reference(parsed, composed), *without_training(parsed, composed)]
        problems += numbers_for_flags(parsed, composed)
        _expand_home(composed)
        keep_texts_of_params(composed)
        overrides = composed.hydra.overrides
        overrides.hydra = [one.input_line for one in parsed if one.is_hydra_override()]
        overrides.task = [one.input_line for one in parsed if not one.is_hydra_override()]
        return composed, problems

    def _compose_job(
        self, config_name: str | None, parsed: list[Override], master: DictConfig
    ) -> tuple[DictConfig, list[str]]:
        """Take a copy of what files and schemas come to for some jobs, and give the values.

        Hydra's part is all in the copy: what is wrong with it is looked for once.
        """
        self.composer.check_sweeps(parsed, RunMode.RUN)
        repository = self._repository or self.composer.usual_repository
        key = tuple(str(one.input_line) for one in structural(parsed, repository))
        problems: list[str] = []
        if (kept := self._bases.get(key)) is not None:
            composed: DictConfig = pickle.loads(kept)
        else:
            composed, problems, repository = self._base(
                config_name, parsed, RunMode.RUN, repository
            )
            of_hydra = [one for one in parsed if one.is_hydra_override()]
            self._give_values(of_hydra, composed, repository, RunMode.RUN)
            keep_texts_of_params(composed)
            composed.hydra.overrides.hydra = [one.input_line for one in of_hydra]
            if self._of_file is not None:
                composed.hydra.sweeper = master.hydra.sweeper
                composed.hydra.overrides.hydra = master.hydra.overrides.hydra
            self.composer.check_controllers(master, composed)
            problems += wrong_in_hydra(composed, RunMode.RUN, self)
            kept = None if problems else _pickled(composed)
            if kept is not None and len(self._bases) < _MOST_BASES:
                self._bases[key] = kept
        of_task = [one for one in parsed if not one.is_hydra_override()]
        self._give_values(of_task, composed, repository, RunMode.RUN)
        _expand_home(composed)
        if _output_dir(composed) != _output_dir(master):  # all jobs of a multirun lie in its folder
            composed.hydra.sweep.dir = str(master.hydra.sweep.dir)
        composed.hydra.overrides.task = [one.input_line for one in of_task]
        return composed, problems

    def _base(
        self,
        config_name: str | None,
        parsed: Sequence[Override],
        run_mode: RunMode,
        repository: Repository,
    ) -> tuple[DictConfig, list[str], Repository]:
        """What files and schemas come to, what is wrong with the files, and where they are."""
        base = structural(parsed, repository)
        composed = self._compose_files(config_name, base, run_mode)
        found = self.composer.last_repository
        if len(found.sources) > len(repository.sources):  # which may have further groups
            base = structural(parsed, found)
            composed = self.composer.compose(config_name, base, run_mode)
        problems = files.check(composed, self.composer, found, config_name, base)
        return composed, problems, found

    def _give_values(
        self,
        parsed: Sequence[Override],
        composed: DictConfig,
        repository: Repository,
        run_mode: RunMode,
    ) -> None:
        decided = {id(one) for one in structural(parsed, repository)}
        for one in parsed:
            if not one.is_sweep_override() and id(one) not in decided:
                self._give(one, composed, run_mode)

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
        except (*USER_MISTAKES, TypeError):  # a place in a list that is no number
            # A multirun's own configuration has members that none of its jobs may have.
            if run_mode is not RunMode.MULTIRUN or one.is_hydra_override():
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


def _overwriting_always(composed: DictConfig, parsed: Sequence[Override]) -> list[str]:
    """A text if a file says that directories are emptied, which the command that resumes would."""
    if not OmegaConf.select(composed, "overwrite") or any(
        one.key_or_group == "overwrite" for one in parsed
    ):
        return []
    text = (
        "overwrite: true in a file would empty the directory of every run that is to be resumed. "
        "Leave it out, and give overwrite=true on the command line."
    )
    return [text]


def _output_dir(composed: DictConfig) -> Any:
    return OmegaConf.select(composed, "machine.output_dir", throw_on_missing=False)


def _expand_home(composed: DictConfig) -> None:
    """Expand `~` in the path that Hydra takes from the application's part, before it does."""
    folder = _output_dir(composed)
    if isinstance(folder, Path) and folder.parts[:1] and folder.parts[0].startswith("~"):
        composed.machine.output_dir = home_path(folder)


def _parsed(texts: tuple[str, ...]) -> list[Override]:
    return keep_texts(_PARSER.parse_overrides(list(texts)), of_task=False)


# Those of Hydra's own part are the same for all jobs of a multirun.
_parsed_once: Final = functools.lru_cache(maxsize=1)(_parsed)


def _task(composed: DictConfig) -> tuple[str, ...]:
    return _texts(composed.hydra.overrides.task)


def _texts(overrides: Any) -> tuple[str, ...]:
    """Overrides as they were typed: interpolations in them must not be resolved."""
    plain: Any = OmegaConf.to_container(overrides, resolve=False)
    return tuple(plain)


def _nothing(looked_at: Any) -> list[str]:
    del looked_at
    return []


def _pickled(node: DictConfig) -> bytes | None:
    """A node that can be restored later; None if that is not possible.

    A class of the script itself cannot be found by name when a profiler runs the script, or in a
    process that a launcher started.
    """
    try:
        return pickle.dumps(node)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
