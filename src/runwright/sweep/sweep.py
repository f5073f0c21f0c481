"""A sweep from start to end: check the space, give out trials, write down what was found."""

import contextlib
import functools
import importlib
import logging
import os
import shlex
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import optuna
from hydra.types import HydraContext
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GridSampler
from optuna.trial import FrozenTrial, TrialState

from runwright import preflight
from runwright.composition import StrictConfigLoader
from runwright.errors import ConfigError, RunError, UserError
from runwright.quoting import with_path
from runwright.rundir import config_flags
from runwright.sweep import study as studies
from runwright.sweep.checks import check, check_space, check_study, directions
from runwright.sweep.options import SweeperConf
from runwright.sweep.results import write_results
from runwright.sweep.slots import Assignment, Ended, LauncherSlot, ProcessSlot, Slot, work_through
from runwright.sweep.space import SearchSpace
from runwright.sweep.trial import TrialJob

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

log = logging.getLogger(__name__)

_FEWEST_TO_JUDGE: Final = 5
_OURS: Final = ("optuna.*", "hydra_plugins.hydra_optuna_sweeper.*")


class Sweep:
    """One sweeper at work on a study, perhaps beside others."""

    def __init__(
        self, options: SweeperConf, hydra_context: HydraContext, config: DictConfig
    ) -> None:
        """Take the options, and what is needed to launch jobs."""
        self.options = options
        self.hydra_context = hydra_context
        self.config = config
        self.folder = Path(config.hydra.sweep.dir)
        self.storage: str = self.options.storage or str((self.folder / "study.log").resolve())
        self.study_name: str = self.options.study_name or self.folder.name
        self._asking = threading.Lock()
        self._own: set[int] = set()
        self._deadline = time.monotonic() + (self.options.timeout or float("inf"))
        self._stopped_because: str | None = None
        self._refusal: UserError | None = None
        self._interrupted = False

    def run(self, arguments: list[str]) -> None:
        """Work on the study until it has all its trials.

        Raises:
            ConfigError: the options, or a corner of the search space, cannot work.
            UserError: the launcher cannot launch anything.
            RunError: too many trials failed.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        check(self.options)
        self._refuse_several_processes()
        self.space = SearchSpace.parse(
            self.options.params or {}, self.options.when or {}, arguments
        )
        self.by_hand = check_space(self.options, self.space)
        self.extend = self._custom_search_space()
        ways = self._check_corners()
        self.sampler = self._sampler()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # the user chose it by name
            self.pruner: BasePruner = instantiate(self.options.pruner, _execution_whitelist_=_OURS)
        self.n_trials: int = self.options.n_trials
        if isinstance(self.sampler, GridSampler):
            self.n_trials = min(self.n_trials, self.space.size() or self.n_trials)
        self._save_composed()
        self.study = studies.create(self.storage, self.study_name, ways, self.sampler, self.pruner)
        check_study(self.study, self.space, self.options)
        if before := studies.sweepers_before(self.study):
            self.study.sampler = self._sampler(before)
        self._enqueue()
        log.info(
            "Study '%s' in %s: %d of %d trials to go.",
            self.study_name,
            self.storage,
            self.n_trials - len(self._ended()),
            self.n_trials,
        )
        try:
            with studies.looked_after(self.study, self._own, self.options.heartbeat):
                work_through(self.options.n_jobs, self._new_slot(), self._next, self._done)
        except BaseException:
            self._interrupted = True
            log.info("To go on: %s", self._resume_command())
            raise
        if self._refusal is not None:
            raise self._refusal
        measures = self.options.measures or [self.monitor]
        write_results(
            self.study,
            self.folder,
            self._again,
            measures=measures,
            reported=measures[0] if self.options.seeds else self.monitor,
        )
        if self._stopped_because is not None:
            raise RunError(self._stopped_because)

    def _refuse_several_processes(self) -> None:
        """Every process of a trial would tell the study how it ended."""
        of_launcher = {
            name: OmegaConf.select(self.config, f"hydra.launcher.{name}", default=1) or 1
            for name in ("tasks_per_node", "nodes")
        }
        for name, value in of_launcher.items():
            if value > 1:
                raise UserError(
                    f"hydra.launcher.{name}={value}: a trial of hydra/sweeper=runwright is trained "
                    "by one process. Leave it out."
                )
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise UserError(
                "hydra/sweeper=runwright: a sweep is started by one process. Leave out torchrun; "
                "hydra.sweeper.n_jobs runs several trials at a time."
            )

    def _check_corners(self) -> list[str]:
        """Compose, check and build the corners of the space; returns the study's directions.

        So are the trials that were queued by hand.
        """
        loader = self.hydra_context.config_loader
        assert isinstance(loader, StrictConfigLoader)
        problems: dict[str, str] = {}
        corners = self.space.corners()
        trials = [("", values) for values in corners]
        for index, values in enumerate(self.by_hand):
            where = f" (hydra.sweeper.enqueue[{index}])"
            trials.append((where, self.space.completed(values)))
        for where, values in trials:
            overrides = self.space.overrides(values)
            try:
                loader.load_sweep_config(self.config, overrides)
            except ConfigError as error:
                for problem in error.problems:
                    problems.setdefault(problem, " ".join(overrides) + where)
        found = [f"{problem}\n   Trial: {where}" for problem, where in problems.items()]
        found += preflight.problems_of_jobs(loader)
        if found:
            raise ConfigError(found)
        log.info("%d corners of the search space are in order.", len(corners))
        configs = [config for _, config in loader.waiting.values()]
        loader.waiting.clear()
        loader.has_launched = True
        known, monitor = preflight.directions(configs[0]) if configs else ({}, None)
        self.monitor = monitor or "value"
        return directions(self.options, known, monitor)

    def _sampler(self, sweepers_before: int = 0) -> BaseSampler:
        """The sampler; of a later sweeper on a study with a seed of its own, to draw other values.

        A quasi-random sequence is one for all, of which every sweeper takes the next points.
        """
        chosen: dict[str, Any] = dict(self.options.sampler)
        seed: int | None = chosen.get("seed")
        if sweepers_before and seed is not None and not chosen["_target_"].endswith("QMCSampler"):
            chosen["seed"] = int(
                np.random.SeedSequence([seed, sweepers_before]).generate_state(1)[0]
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            sampler: Any = instantiate(chosen, _execution_whitelist_=_OURS)
        # A grid is the one sampler that has to know the space beforehand.
        if isinstance(sampler, functools.partial):
            sampler = cast("Callable[..., BaseSampler]", sampler)(self.space.grid())
        return cast("BaseSampler", sampler)

    def _custom_search_space(self) -> Callable[[DictConfig, optuna.Trial], None] | None:
        name: str | None = self.options.custom_search_space
        if name is None:
            return None
        module, _, function = name.rpartition(".")
        try:
            return getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError, ValueError) as error:
            raise UserError(f"hydra.sweeper.custom_search_space={name}: {error}.") from error

    def _save_composed(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, self.folder / "multirun.yaml")

    def _enqueue(self) -> None:
        """Queue what was given by hand; what the study has had already is left out."""
        for values in self.by_hand:
            self.study.enqueue_trial(values, {studies.BY_HAND: True}, skip_if_exists=True)

    def _new_slot(self) -> Callable[[], Slot]:
        is_basic = self.config.hydra.launcher._target_.endswith("BasicLauncher")
        kind = ProcessSlot if is_basic and self.options.n_jobs > 1 else LauncherSlot
        return lambda: kind(hydra_context=self.hydra_context, config=self.config)

    def _ended(self) -> list[FrozenTrial]:
        done = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        return studies.counting(self.study, studies.trials(self.study, *done))

    def _next(self) -> Assignment | None:
        """The next trial to run; waits while others might leave one to be taken up."""
        while True:
            with self._asking:
                is_stopped = self._interrupted or self._stopped_because is not None
                if is_stopped or self._refusal is not None or time.monotonic() > self._deadline:
                    return None
                running = self._take_up_the_dead()
                if len(self._ended()) + len(running) < self.n_trials:
                    if (assignment := self._ask()) is not None:
                        return assignment
                    continue
                if all(trial.number in self._own for trial in running):
                    return None
            time.sleep(min(5.0, self.options.heartbeat / 4))

    def _take_up_the_dead(self) -> list[FrozenTrial]:
        """Queue what others left; returns the trials that run, or wait to."""
        living: list[FrozenTrial] = []
        for trial in studies.trials(self.study, TrialState.RUNNING):
            is_own = trial.number in self._own
            if not is_own and studies.is_dead(trial, self.options.heartbeat):
                if studies.take_up_again(self.study, trial, self.options.retries):
                    log.info("Trial %d: nobody looks after it; taken up again.", trial.number)
            else:
                living.append(trial)
        return living

    def _ask(self) -> Assignment | None:
        """Take the next trial; None when another sweeper has taken the last one, or the same."""
        trial = self.study.ask()
        before = studies.trials(self.study)[: trial.number]
        too_many = len(studies.counting(self.study, before)) >= self.n_trials
        if too_many or studies.is_queued_twice(self.study, trial.number):
            why = "one too many: another sweeper had the last" if too_many else "was queued twice"
            studies.replace(self.study, trial.number)
            studies.fail(self.study, trial.number, why)
            return None
        studies.give_sign_of_life(self.study, trial.number)
        self._own.add(trial.number)
        values = self.space.suggest(trial)
        if self.extend is not None:
            self.extend(self.config, trial)
            values |= trial.params
        overrides = self.space.overrides(values)
        trial.set_user_attr("overrides", overrides)
        if (directory := trial.user_attrs.get(studies.DIRECTORY)) is not None:
            overrides = [*overrides, with_path("hydra.sweep.subdir", directory)]
        return Assignment(
            number=trial.number,
            overrides=overrides,
            job=TrialJob(
                storage=self.storage,
                study=self.study_name,
                number=trial.number,
                pruner=self.pruner,
                seeds=tuple(self.options.seeds or ()),
                measures=tuple(self.options.measures or ()),
                heartbeat=self.options.heartbeat,
            ),
        )

    def _done(self, assignment: Assignment, ended: Ended) -> None:
        if self._interrupted:
            return
        if ended.refusal is not None:  # the trial is taken up when the sweep goes on
            self._refusal = ended.refusal
            return
        with self._asking:
            self._own.discard(assignment.number)
            trial = studies.trial_of(self.study, assignment.number)
            if trial.state is TrialState.RUNNING:  # its process could not tell how it ended
                again = studies.take_up_again(self.study, trial, self.options.retries)
                consequence = "taken up again" if again else "given up"
                log.warning("Trial %d died, %s: %s", trial.number, consequence, ended.error)
                if again:
                    return
                trial = studies.trial_of(self.study, assignment.number)
            log.info("%s", self._line(trial, ended))
            failed = [t for t in self._ended() if t.state is TrialState.FAIL]
            count = len(self._ended())
            too_few = count < min(_FEWEST_TO_JUDGE, self.n_trials)
            if not too_few and len(failed) / max(1, count) > self.options.max_failure_rate:
                self._stopped_because = (
                    f"{len(failed)} of {count} trials failed, more than "
                    f"hydra.sweeper.max_failure_rate={self.options.max_failure_rate}. The last: "
                    f"{ended.error or failed[-1].user_attrs.get('error')}\n"
                    f"When it is mended, go on with: {self._resume_command()}"
                )

    def _line(self, trial: FrozenTrial, ended: Ended) -> str:
        state = {
            TrialState.COMPLETE: "done",
            TrialState.PRUNED: "pruned",
            TrialState.FAIL: "failed",
        }[trial.state]
        line = f"Trial {trial.number} {state}"
        if trial.values is not None:
            line += ": " + ", ".join(f"{value:.4f}" for value in trial.values)
        if ended.error is not None:
            line += f": {ended.error}"
        with contextlib.suppress(ValueError, RuntimeError):
            best = self.study.best_trial
            line += f" (best: {best.value:.4f} in trial {best.number})"
        return line

    def _again(self, overrides: list[str]) -> str:
        """The command line that makes a trial again, with all its seeds."""
        flags = config_flags()
        if self.options.seeds:
            flags = ["--multirun", "hydra/sweeper=basic", *flags]
            overrides = [*overrides, f"seed={','.join(map(str, self.options.seeds))}"]
        return _command([*flags, *overrides])

    def _resume_command(self) -> str:
        arguments = [one for one in sys.argv[1:] if not one.startswith("hydra.sweep.dir=")]
        return _command([*arguments, with_path("hydra.sweep.dir", str(self.folder))])


def _command(arguments: list[str]) -> str:
    return shlex.join(["python", sys.argv[0], *arguments])
