"""A trial in its own process: runs, reports every validation, and reports how it ended."""

import dataclasses
import gc
import json
import logging
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import optuna
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from optuna.pruners import BasePruner
from optuna.trial import TrialState

from runwright.caller import REQUEUE, Caller
from runwright.cli.commands_to_type import directory_option
from runwright.compose.loader import to_config
from runwright.config import Config
from runwright.errors import UserError, free_variables
from runwright.run import run
from runwright.sweep import study as studies
from runwright.sweep.heartbeat import heartbeats, send_heartbeat
from runwright.sweep.storage import is_out_of_reach

log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class TrialJob:
    """What a launcher runs for one trial: a task function that knows which trial it is.

    Attributes:
        storage: where the study is.
        study: its name.
        number: the trial's.
        pruner: decides, from what was reported, whether the trial continues.
        seeds: the run's seeds; empty for the configured one.
        measures: what the values of the trial are; empty for what the run returns.
        heartbeat: seconds between heartbeats.
        resume_command: what a user types to resume the sweep, and with it the trial.
    """

    storage: str
    study: str
    number: int
    pruner: BasePruner
    seeds: tuple[int, ...]
    measures: tuple[str, ...]
    heartbeat: float
    resume_command: str

    def __call__(
        self, composed: DictConfig, is_preempted: Callable[[], bool] = lambda: False
    ) -> list[float]:
        """Run the trial; returns its values.

        Args:
            composed: the configuration, Hydra's part included.
            is_preempted: whether a job that got SIGTERM will run again; its launcher knows.
        """
        gc.enable()
        caller = Caller(
            resume_command=lambda _: self.resume_command,
            directory_option=directory_option(),
            is_preempted=is_preempted,
        )
        study = studies.load(self.storage, self.study, pruner=self.pruner)
        trial = studies.running(study, self.number)
        run_dir = Path(HydraConfig.get().runtime.output_dir)
        trial.set_user_attr(studies.DIRECTORY, str(run_dir.resolve()))
        try:
            with heartbeats(study, self.number, self.heartbeat):
                config = to_config(composed, HydraConfig.get().runtime.choices)
                values, pruned = self._run(config, run_dir, trial, caller)
        except Exception as error:
            studies.fail(study, self.number, f"{type(error).__name__}: {error}")
            free_variables(error)
            raise
        except BaseException as end:  # stopped from outside: another process may continue at once
            if isinstance(end, SystemExit) and end.code == REQUEUE:
                # This very job is requeued, and continues the trial.
                send_heartbeat(study, self.number, from_afar=True)
                raise
            left = studies.trial_of(study, self.number)
            studies.retry(study, left, retries=None)
            raise
        if pruned:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, values)
        return values

    def _run(
        self, config: Config, run_dir: Path, trial: optuna.Trial, caller: Caller
    ) -> tuple[list[float], bool]:
        """The values, and whether the trial was pruned."""
        validations = Validations(trial)
        if not self.seeds:
            run(config, run_dir, attrs.evolve(caller, reporter=validations))
            return _outcome(run_dir, self.measures)
        outcomes: list[list[float]] = []
        for index, seed in enumerate(self.seeds):
            of_seed = run_dir / f"seed_{seed}"
            run(dataclasses.replace(config, seed=seed), of_seed, caller)
            outcomes.append(_outcome(of_seed, self.measures)[0])
            should_prune = validations.report(index, outcomes[-1][0])
            is_last = index + 1 == len(self.seeds)
            if should_prune and not is_last:
                return _means(outcomes), True
        return _means(outcomes), False


class Validations:
    """Reports the validations of a run to its trial."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial
        self._has_one_value = len(trial.study.directions) == 1
        self._undelivered: list[tuple[int, float]] = []

    def report(self, step: int, value: float) -> bool:
        """Report a validation; returns whether the trial is pruned.

        What cannot be delivered is sent with the next one: it is not worth ending a training.
        """
        if not self._has_one_value:  # Optuna prunes only by a single value
            return False
        self._undelivered.append((step, value))
        try:
            while self._undelivered:
                _report(self._trial, *self._undelivered[0])
                del self._undelivered[0]
            return bool(self._trial.should_prune())  # some pruners answer in NumPy's bool
        except Exception as error:
            if not is_out_of_reach(error):
                raise
            log.warning("The validation at step %d could not be reported: %s", step, error)
            return False


def _report(trial: optuna.Trial, step: int, value: float) -> None:
    with warnings.catch_warnings():
        # A run that resumes from its last checkpoint passes here a second time.
        warnings.filterwarnings("ignore", message="The reported value is ignored")
        trial.report(value, step)


def _outcome(run_dir: Path, measures: tuple[str, ...]) -> tuple[list[float], bool]:
    """The outcome of an ended run: its values, and whether it was pruned.

    Raises:
        UserError: a measure was not measured; names those that were.
    """
    result: dict[str, Any] = json.loads((run_dir / "result.json").read_text())
    known = {**result["measures"], "parameters": result["parameters"]}
    known[result["monitor"]] = result["value"]
    values: list[float] = []
    for measure in measures or (result["monitor"],):
        if measure not in known:
            raise UserError(
                f"hydra.sweeper.measures: nothing called '{measure}' is measured. Allowed: "
                f"{', '.join(sorted(known))}."
            )
        value = known[measure]
        values.append(math.nan if value is None else float(value))
    return values, result["status"] == "pruned"


def _means(outcomes: list[list[float]]) -> list[float]:
    return [sum(values) / len(values) for values in zip(*outcomes, strict=True)]
