"""A sweep from start to end: check the space, hand out trials, write the results."""

import contextlib
import copy
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import optuna
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from optuna.samplers import GridSampler
from optuna.trial import FrozenTrial, TrialState

from runwright.cli.commands_to_type import command, config_flags, sweep_command
from runwright.compose.overrides import with_path
from runwright.custom_search_space import registered
from runwright.errors import RunError, UserError
from runwright.sweep import study as studies
from runwright.sweep.algorithms import make_pruner, make_sampler
from runwright.sweep.checks import check, check_pruner, check_space, check_study, directions
from runwright.sweep.corners import check_corners, known_directions
from runwright.sweep.gpus import chosen_gpus
from runwright.sweep.growing import take_over
from runwright.sweep.heartbeat import heartbeats_of_waiting, is_dead, send_heartbeat
from runwright.sweep.optimization_results import write_results
from runwright.sweep.slots import (
    Assignment,
    Ended,
    LauncherSlot,
    ProcessSlot,
    Slot,
    SlotOnGpu,
    prepare_processes,
    work_through,
)
from runwright.sweep.space import SearchSpace, Values
from runwright.sweep.storage import absolute, is_out_of_reach
from runwright.sweep.study_pictures import draw_study, prepare_to_draw
from runwright.sweep.sweeper_cfg import SweeperCfg
from runwright.sweep.trial import TrialJob

log = logging.getLogger(__name__)

_FEWEST_TO_JUDGE: Final = 5
_MOST_REPEATS: Final = 50


class Sweep:
    """One sweeper at work on a study, perhaps alongside others."""

    def __init__(
        self, options: SweeperCfg, hydra_context: HydraContext, config: DictConfig
    ) -> None:
        self.options = options
        self.hydra_context = hydra_context
        self.config = config
        self.folder = Path(config.hydra.sweep.dir)
        self.storage = absolute(self.options.storage or str(self.folder / "study.log"))
        self.study_name: str = self.options.study_name or self.folder.name
        self._asking = threading.Lock()
        self._own: set[int] = set()
        self._stopped_because: str | None = None
        self._refusal: UserError | None = None
        self._interrupted = False
        self._repeats = 0  # in a row

    def run(self, arguments: list[str]) -> None:
        """Work on the study until it has all its trials.

        Raises:
            ConfigError: the options, or a corner of the search space, cannot work.
            UserError: the launcher cannot launch anything.
            RunError: too many trials failed.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        check(self.options, overwrites=bool(self.config.overwrite))
        self._refuse_several_processes()
        self._gpus = chosen_gpus(self.options.gpus, self.config)
        self._n_jobs = self.options.n_jobs or len(self._gpus) or 1
        self.space = SearchSpace.parse(
            self.options.params or {}, self.options.when or {}, arguments
        )
        self.enqueued = check_space(self.options, self.space)
        self.extend = registered(self.options.custom_search_space)
        self.sampler = make_sampler(self.options.sampler, self.space)
        self.pruner = make_pruner(self.options.pruner)
        corners = check_corners(
            self.space,
            self.enqueued,
            self.hydra_context.config_loader,
            self.config,
            prepare_processes if self._has_processes else lambda: None,
        )
        self._draws = not corners or corners[0].pictures
        measures = self.options.measures  # else the trials are compared by what they return
        known, monitor = known_directions(corners[:1] if measures else corners)
        check_pruner(self.options, monitor)
        self.monitor = monitor or "value"
        ways = directions(self.options.direction, measures or [""], known, monitor)
        self.n_trials: int = self.options.n_trials
        if isinstance(self.sampler, GridSampler):
            self.n_trials = min(self.n_trials, self.space.size() or self.n_trials)
        self._save_composed()
        self.study = studies.create(self.storage, self.study_name, ways, self.sampler, self.pruner)
        self._take_over()
        check_study(self.study, self.space, self.options)
        if before := studies.sweepers_before(self.study):
            self.study.sampler = make_sampler(self.options.sampler, self.space, before)
        self._enqueue()
        log.info(
            "Study '%s' in %s: %d of %d trials to go.",
            self.study_name,
            self.storage,
            self.n_trials - len(self._ended()),
            self.n_trials,
        )
        self._deadline = time.monotonic() + (self.options.timeout or math.inf)
        try:
            with heartbeats_of_waiting(self.study, self._own, self.options.heartbeat):
                slots = min(self._n_jobs, self.n_trials)
                work_through(slots, self._new_slot(), self._next, self._done)
        except BaseException as error:
            self._interrupted = True
            if isinstance(error, Exception) and is_out_of_reach(error):
                why = error.__cause__ or error
                raise RunError(
                    f"The study's storage {self.storage} is unreachable: {why}. Running "
                    f"trials continue. Once it answers again: {sweep_command(self.folder)}"
                ) from error
            log.info("To resume: %s", sweep_command(self.folder))
            raise
        if self._refusal is not None:
            raise self._refusal
        self._judge_failures(fewest=1)
        self._note_a_best_outside()
        self._write_results()
        if self._stopped_because is not None:
            raise RunError(self._stopped_because)

    def _refuse_several_processes(self) -> None:
        """Every process of a trial would report to the study how it ended."""
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

    def _write_results(self) -> None:
        if not studies.trials(self.study, TrialState.COMPLETE):
            log.warning("No trial finished, so there is no best one.")
            return
        write_results(self.study, self.folder, self._again)
        if not self._draws:
            return
        measures = self.options.measures or [self.monitor]
        reported = measures[0] if self.options.seeds else self.monitor
        draw_study(self.study, self.folder / "pictures", measures=measures, reported=reported)

    def _save_composed(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, self.folder / "multirun.yaml")

    def _take_over(self) -> None:
        """Begin with the trials of another study, if one is named."""
        name = self.options.from_study
        if name is None:
            return
        number = take_over(self.study, self.storage, name, self.space, self.options.heartbeat)
        if number:
            log.info("Study '%s' begins with the %d trials of '%s'.", self.study_name, number, name)

    def _enqueue(self) -> None:
        """Enqueue what to try first, except what the study has already had."""
        for values in self.enqueued:
            self.study.enqueue_trial(values, {studies.ENQUEUED: True}, skip_if_exists=True)

    @property
    def _has_processes(self) -> bool:
        """Whether each slot is a process of its own."""
        is_basic: bool = self.config.hydra.launcher._target_.endswith("BasicLauncher")
        return is_basic and self._n_jobs > 1

    def _new_slot(self) -> Callable[[], Slot]:
        kind = ProcessSlot if self._has_processes else LauncherSlot
        gpus = itertools.cycle(self._gpus)

        def new() -> Slot:
            # Hydra changes flags of the configuration while it launches: each slot has its own.
            slot = kind(hydra_context=self.hydra_context, config=copy.deepcopy(self.config))
            return SlotOnGpu(slot=slot, gpu=next(gpus)) if self._gpus else slot

        return new

    def _ended(self) -> list[FrozenTrial]:
        done = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        return studies.counting(self.study, studies.trials(self.study, *done))

    def _next(self) -> Assignment | None:
        """The next trial to run; waits while other processes might leave one to retry."""
        while True:
            with self._asking:
                is_stopped = self._interrupted or self._stopped_because is not None
                is_over = self._repeats >= _MOST_REPEATS or time.monotonic() > self._deadline
                if is_stopped or self._refusal is not None or is_over:
                    return None
                running = self._retry_dead()
                if len(self._ended()) + len(running) < self.n_trials:
                    if (assignment := self._ask()) is not None:
                        return assignment
                    continue
                if all(trial.number in self._own for trial in running):
                    break
            time.sleep(min(5.0, self.options.heartbeat / 4))
        if self._draws:
            prepare_to_draw()  # while other slots are at work
        return None

    def _retry_dead(self) -> list[FrozenTrial]:
        """Queue abandoned trials; returns the trials that run, or wait to."""
        studies.requeue_lost(self.study)
        living: list[FrozenTrial] = []
        for trial in studies.trials(self.study, TrialState.RUNNING):
            is_own = trial.number in self._own
            if not is_own and is_dead(trial, self.options.heartbeat):
                is_retried = studies.retry(self.study, trial, self.options.retries)
                now = studies.trial_of(self.study, trial.number)
                if is_retried or now.user_attrs.get("error") == studies.GIVEN_UP:
                    consequence = "retried" if is_retried else "given up"
                    log.info("Trial %d has lost its process; %s.", trial.number, consequence)
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
            studies.mark_replaced(self.study, trial.number)
            studies.fail(self.study, trial.number, why)
            return None
        send_heartbeat(self.study, trial.number)
        self._own.add(trial.number)
        values = self.space.suggest(trial)
        if self.extend is not None:
            self.extend(self.config, trial)
            values |= trial.params
        if not self.options.repeat and self._is_repeated(trial, before):
            return None
        overrides = self._overrides(trial, values)
        trial.set_user_attr(studies.OVERRIDES, overrides)
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
                resume_command=sweep_command(self.folder),
            ),
        )

    def _is_repeated(self, trial: optuna.Trial, before: list[FrozenTrial]) -> bool:
        """Whether a new trial has the values of one before it, and so is given up."""
        counting = studies.counting(self.study, before)
        tried = [one.params for one in counting if one.state is not TrialState.FAIL]
        is_new = studies.DIRECTORY not in trial.user_attrs  # not one that is taken up again
        if not is_new or trial.params not in tried:
            self._repeats = 0
            return False
        self._own.discard(trial.number)
        studies.mark_replaced(self.study, trial.number)
        studies.fail(self.study, trial.number, "its values have been tried before")
        self._repeats += 1
        if self._repeats == _MOST_REPEATS:
            log.info(
                "The last %d values that were drawn have all been tried before, so the sweep ends "
                "here. With hydra.sweeper.repeat=true it goes on.",
                _MOST_REPEATS,
            )
        return True

    def _overrides(self, trial: optuna.Trial, values: Values) -> list[str]:
        """The command line of a trial; for a retried one, the one that it was started with.

        Its run would not resume with another one.
        """
        overrides = self.space.overrides(values)
        begun_with: list[str] = trial.user_attrs.get(studies.OVERRIDES, overrides)
        if begun_with != overrides:
            log.warning(
                "Trial %d continues with the options that it was started with: %s",
                trial.number,
                " ".join(begun_with),
            )
        return begun_with

    def _done(self, assignment: Assignment, ended: Ended) -> None:
        if self._interrupted:
            return
        if ended.refusal is not None:
            with self._asking:
                self._refusal = ended.refusal
                self._own.discard(assignment.number)
                studies.withdraw(self.study, assignment.number)
            return
        with self._asking:
            self._own.discard(assignment.number)
            trial = studies.trial_of(self.study, assignment.number)
            if trial.state is TrialState.RUNNING:  # its process could not report how it ended
                is_retried = studies.retry(self.study, trial, self.options.retries)
                consequence = "retried" if is_retried else "given up"
                log.warning("Trial %d died, %s: %s", trial.number, consequence, ended.error)
                if is_retried:
                    return
                trial = studies.trial_of(self.study, assignment.number)
            log.info("%s", self._line(trial, ended))
            self._judge_failures(min(_FEWEST_TO_JUDGE, self.n_trials), ended.error)

    def _judge_failures(self, fewest: int, error: str | None = None) -> None:
        """Stop when too many trials have failed.

        Args:
            fewest: how many trials must have ended at least.
            error: what the last one said, when it failed.
        """
        ended = self._ended()
        failed = [trial for trial in ended if trial.state is TrialState.FAIL]
        if len(ended) < fewest or len(failed) <= self.options.max_failure_rate * len(ended):
            return
        self._stopped_because = (
            f"{len(failed)} of {len(ended)} trials failed, more than "
            f"hydra.sweeper.max_failure_rate={self.options.max_failure_rate}. The last: "
            f"{error or failed[-1].user_attrs.get('error')}\n"
            f"Once it is fixed, resume with: {sweep_command(self.folder)}"
        )

    def _note_a_best_outside(self) -> None:
        """Report if the best trial is an earlier one that this sweep would not have made."""
        if len(self.study.directions) > 1 or self.extend is not None:
            return
        with contextlib.suppress(ValueError):  # there is none
            best = self.study.best_trial
            outside = [n for n, v in best.params.items() if not self.space.may_have(n, v)]
            if outside:
                log.warning(
                    "Trial %d, the best one, is from before: %s is no longer in the search space.",
                    best.number,
                    ", ".join(f"{name}={best.params[name]}" for name in outside),
                )

    def _line(self, trial: FrozenTrial, ended: Ended) -> str:
        state = {
            TrialState.COMPLETE: "done",
            TrialState.PRUNED: "pruned",
            TrialState.FAIL: "failed",
        }[trial.state]
        if not studies.counting(self.study, [trial]):
            state = "stopped, and retried"
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
        """The command line that repeats a trial, with all its seeds."""
        flags = config_flags()
        if self.options.seeds:
            flags = ["--multirun", "hydra/sweeper=basic", *flags]
            overrides = [*overrides, f"seed={','.join(map(str, self.options.seeds))}"]
        return command([*flags, *overrides])
