"""What a sweep found: `optimization_results.yaml` in the sweep directory, and a summary."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from omegaconf import OmegaConf
from optuna.trial import FrozenTrial

from runwright.storage.atomic_files import write_bytes
from runwright.sweep.distributions import value_of
from runwright.sweep.study import DIRECTORY, OVERRIDES

log = logging.getLogger(__name__)

CommandOf = Callable[[list[str]], str]


def write_results(study: optuna.Study, folder: Path, command: CommandOf) -> None:
    """Write the best trial, or the trials that no other beats in every measure.

    Args:
        study: the study, with at least one finished trial.
        folder: the sweep directory.
        command: makes the command line of a run from its overrides.
    """
    found: dict[str, Any] = {"name": "optuna"}
    if len(study.directions) == 1:
        best = study.best_trial
        at = _where(best, command)
        found |= {"best_params": _values(best), "best_value": best.value, **at}
        log.info("Best value: %.4f, of trial %d.", best.value, best.number)
        for name, value in best.params.items():
            log.info("  %s=%s", name, value)
        log.info("To run it again: %s", at["best_command"])
    else:
        found["solutions"] = [
            {"params": _values(trial), "values": trial.values, **_where(trial, command)}
            for trial in study.best_trials
        ]
        count = len(study.best_trials)
        log.info("%d trials are best: no other is better in every measure.", count)
    text = OmegaConf.to_yaml(OmegaConf.create(found))
    write_bytes(folder / "optimization_results.yaml", text.encode())


def _values(trial: FrozenTrial) -> dict[str, Any]:
    return {name: value_of(value) for name, value in trial.params.items()}


def _where(trial: FrozenTrial, command: CommandOf) -> dict[str, Any]:
    return {
        "best_trial": trial.number,
        "best_directory": trial.user_attrs.get(DIRECTORY),
        "best_command": command(trial.user_attrs.get(OVERRIDES, [])),
    }
