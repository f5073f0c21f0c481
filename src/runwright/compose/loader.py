"""The strict loader: Hydra composes, and whatever is wrong with the result is reported.

Every composition (a single run, each job of a multirun before the first one starts, the Python
API) goes through one place, which refuses whatever is not an option, checks bounds and rules, and
reports all mistakes together.
"""

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from typing_extensions import override

from runwright.compose.base_and_values import BaseAndValues
from runwright.compose.collect import Mistakes, check
from runwright.compose.convert import Conversion, convert
from runwright.compose.delegating_loader import DelegatingLoader
from runwright.compose.explain import USER_MISTAKES, text_of
from runwright.compose.file_shapes import wrong_shape
from runwright.compose.other_member import with_other_members
from runwright.compose.overrides import given_twice, replaced_later
from runwright.compose.pending import PendingJobs
from runwright.compose.texts import keep_texts
from runwright.config import Config
from runwright.errors import ConfigError, NotGiven

if TYPE_CHECKING:
    from runwright.factory import Settings

CheckParts: TypeAlias = Callable[[Mapping[str, Any]], list[str]]
CheckMultirun: TypeAlias = Callable[[DictConfig], list[str]]

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
        self._composing = BaseAndValues(self.composer)
        self.pending = PendingJobs()
        self.left_to_launcher = False
        self.check_parts: CheckParts = _nothing
        self.check_multirun: CheckMultirun = _nothing
        self.may_lack_options = False
        self._checked: set[tuple[str, ...]] = set()
        self._converted: dict[tuple[str, ...], Config] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Keep what is sent to another process small; that process launches nothing.
        launched = PendingJobs()
        launched.launch()
        launched.began = self.pending.began
        held: dict[str, Any] = {"_checked": set(), "_converted": {}, "pending": launched}
        held |= {"check_parts": _nothing, "check_multirun": _nothing, "left_to_launcher": False}
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
                self.pending.composed, self._composing.of_hydra = other.composed, other.of_file
                print(other.note, file=sys.stderr)
            return other.composed
        replaced = replaced_later(overrides)
        told, problems = [*given_twice(overrides), *replaced.values()], list[str]()
        kept = [text for text in overrides if text not in replaced]
        config: Settings | None = None
        try:
            parsed = self.composer.parse(config_name, overrides)
            parsed = keep_texts(parsed, of_task=run_mode is RunMode.MULTIRUN)
            composed, found = self._composing.compose(config_name, parsed, run_mode)
            told += _overwriting_always(composed, parsed)
            config, conversion = check(composed, config_name, run_mode, self)
            problems = [*found, *conversion.problems]
            if self.may_lack_options:
                problems = [text for text in problems if not isinstance(text, NotGiven)]
            if run_mode is RunMode.MULTIRUN:
                self.pending.composed = composed
                self._composing.forget()  # those of jobs of another
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
        of_hydra = self._composing.of_hydra
        if of_hydra is None:
            of_hydra = _texts(master_config.hydra.overrides.hydra)
        overrides = [*of_hydra, *sweep_overrides]
        config_name: str | None = master_config.hydra.job.config_name
        key = tuple(sweep_overrides)
        try:
            # What stands for others is written out in the multirun's own configuration already.
            parsed = [*_parsed_once(of_hydra), *_parsed(key)]
            composed, problems = self._composing.compose_job(config_name, parsed, master_config)
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

    def _refuse_wrong_shape(self, config_name: str | None) -> None:
        """Look at the primary configuration, which Hydra reads in many ways before it composes."""
        repository = self.composer.usual_repository
        if config_name is not None and (text := wrong_shape(repository, config_name)):
            raise ConfigError([text])

    def _collect(
        self, config_name: str | None, overrides: list[str], run_mode: RunMode, *, from_shell: bool
    ) -> list[str]:
        found = Mistakes(self.composer, config_name, overrides, run_mode, from_shell=from_shell)
        return [*found.problems, *self.check_parts(found.parts)] if found.problems else []


def to_config(composed: DictConfig, choices: Mapping[str, Any] | None = None) -> Config:
    """The frozen configuration of a composed node.

    Args:
        composed: the node.
        choices: by which names the members of groups were chosen, if it is known.

    Raises:
        ConfigError: with everything that is wrong.
    """
    conversion = Conversion(choices=choices)
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
