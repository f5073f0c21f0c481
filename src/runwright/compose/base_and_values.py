"""Composing: what files and schemas come to, and the values that are given on top of it.

Jobs of a multirun that differ only in values share the first part, and each gets its values applied
to a copy of it.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from runwright.compose import files
from runwright.compose._hydra import Composer, Repository
from runwright.compose.explain import USER_MISTAKES
from runwright.compose.file_shapes import wrong_shapes
from runwright.compose.hydra_options import numbers_for_flags, wrong_in_hydra
from runwright.compose.overrides import first_choice, first_of_params, structural
from runwright.compose.references import without_reference, without_training
from runwright.compose.texts import keep_texts_of_params
from runwright.compose.values import give
from runwright.errors import ConfigError
from runwright.plain import home_path

_MOST_BASES: Final = 100


class BaseAndValues:
    """Composes a run, a multirun, and the jobs of a multirun.

    Attributes:
        of_hydra: the overrides of Hydra's options that jobs are composed with, where they are not
            those of the multirun; see `OtherMembers`.
    """

    def __init__(self, composer: Composer) -> None:
        self._composer = composer
        self._bases: dict[tuple[str, ...], bytes] = {}
        self._repository: Repository | None = None
        self.of_hydra: tuple[str, ...] | None = None

    def __getstate__(self) -> dict[str, Any]:  # small, for other processes
        return {**self.__dict__, "_bases": {}, "_repository": None}

    def forget(self) -> None:
        """Forget what jobs of an earlier multirun share."""
        self._bases.clear()

    def compose(
        self, config_name: str | None, parsed: list[Override], run_mode: RunMode
    ) -> tuple[DictConfig, list[str]]:
        """Compose files and schemas, and give the values."""
        self._composer.check_sweeps(parsed, run_mode)
        usual = self._composer.usual_repository
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

    def compose_job(
        self, config_name: str | None, parsed: list[Override], master: DictConfig
    ) -> tuple[DictConfig, list[str]]:
        """Take a copy of what files and schemas come to for some jobs, and give the values.

        Hydra's part is all in the copy: what is wrong with it is looked for once.
        """
        self._composer.check_sweeps(parsed, RunMode.RUN)
        repository = self._repository or self._composer.usual_repository
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
            if self.of_hydra is not None:
                composed.hydra.sweeper = master.hydra.sweeper
                composed.hydra.overrides.hydra = master.hydra.overrides.hydra
            self._composer.check_controllers(master, composed)
            problems += wrong_in_hydra(composed, RunMode.RUN, self._composer.loader)
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
        try:
            composed = self._compose_files(config_name, base, run_mode)
        except USER_MISTAKES:
            if run_mode is not RunMode.MULTIRUN:
                raise
            # What files set need not fit the member that is chosen by default, which no job has.
            base = [
                (first_choice(one, repository) or one) if one.is_sweep_override() else one
                for one in base
            ]
            base += first_of_params(parsed, repository)
            composed = self._compose_files(config_name, base, run_mode)
        found = self._composer.last_repository
        if len(found.sources) > len(repository.sources):  # which may have further groups
            base = structural(parsed, found)
            composed = self._composer.compose(config_name, base, run_mode)
        problems = files.check(composed, self._composer, found, config_name, base)
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
            return self._composer.compose(config_name, base, run_mode)
        except OSError:  # OmegaConf's too, of a file that holds no options
            if problems := wrong_shapes(self._composer.usual_repository):
                raise ConfigError(problems) from None
            raise

    def _give(self, one: Override, composed: DictConfig, run_mode: RunMode) -> None:
        try:
            give(one, composed, self._composer)
        except (*USER_MISTAKES, TypeError):  # a place in a list that is no number
            # A multirun's own configuration has members that none of its jobs may have.
            if run_mode is not RunMode.MULTIRUN or one.is_hydra_override():
                raise


def _output_dir(composed: DictConfig) -> Any:
    return OmegaConf.select(composed, "machine.output_dir", throw_on_missing=False)


def _expand_home(composed: DictConfig) -> None:
    """Expand `~` in the path that Hydra takes from the application's part, before it does."""
    folder = _output_dir(composed)
    if isinstance(folder, Path) and folder.parts[:1] and folder.parts[0].startswith("~"):
        composed.machine.output_dir = home_path(folder)


def _pickled(node: DictConfig) -> bytes | None:
    """A node that can be restored later; None if that is not possible.

    A class of the script itself cannot be found by name when a profiler runs the script, or in a
    process that a launcher started.
    """
    try:
        return pickle.dumps(node)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
