"""What a sweep found: `optimization_results.yaml` and pictures in the sweep directory."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from omegaconf import OmegaConf
from optuna.trial import FrozenTrial, TrialState

from runwright.files import write_bytes
from runwright.sweep.study import DIRECTORY

log = logging.getLogger(__name__)

CommandOf = Callable[[list[str]], str]


def write_results(study: optuna.Study, folder: Path, command: CommandOf) -> None:
    """Write what was found, if any trial came to its end.

    Args:
        study: the study.
        folder: the sweep directory.
        command: makes the command line of a run from its overrides.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete:
        log.warning("No trial came to its end, so there is no best one.")
        return
    if len(study.directions) == 1:
        best = study.best_trial
        found: dict[str, Any] = {
            "name": "optuna",
            "best_params": best.params,
            "best_value": best.value,
            **_where(best, command),
        }
        log.info("Best value: %.4f, of trial %d.", best.value, best.number)
        for name, value in best.params.items():
            log.info("  %s=%s", name, value)
        log.info("To run it again: %s", found["best_command"])
    else:
        front = [
            {"params": t.params, "values": t.values, **_where(t, command)}
            for t in study.best_trials
        ]
        found = {"name": "optuna", "solutions": front}
        log.info("%d trials are best: no other is better in every measure.", len(front))
    text = OmegaConf.to_yaml(OmegaConf.create(found))
    write_bytes(folder / "optimization_results.yaml", text.encode())
    _draw(study, folder / "pictures")


def _where(trial: FrozenTrial, command: CommandOf) -> dict[str, Any]:
    return {
        "best_trial": trial.number,
        "best_directory": trial.user_attrs.get(DIRECTORY),
        "best_command": command(trial.user_attrs.get("overrides", [])),
    }


def _draw(study: optuna.Study, folder: Path) -> None:
    """Draw the course of the sweep, and what the values depend on."""
    from matplotlib import pyplot as plt
    from optuna.visualization import matplotlib as drawing

    folder.mkdir(parents=True, exist_ok=True)
    pictures: dict[str, Callable[[], Any]] = {}
    if len(study.directions) == 1:
        pictures["history"] = lambda: drawing.plot_optimization_history(study)
        pictures["intermediate_values"] = lambda: drawing.plot_intermediate_values(study)
        if any(t.params for t in study.get_trials(deepcopy=False)):
            pictures["parallel_coordinates"] = lambda: drawing.plot_parallel_coordinate(study)
            pictures["slices"] = lambda: drawing.plot_slice(study)
            pictures["importances"] = lambda: drawing.plot_param_importances(study)
    elif len(study.directions) <= 3:
        pictures["pareto_front"] = lambda: drawing.plot_pareto_front(study)
    logging.getLogger("matplotlib.category").setLevel(logging.WARNING)  # on numbers as categories
    backend = plt.get_backend()
    plt.switch_backend("agg")
    try:
        for name, draw in pictures.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # experimental, or too few trials for a curve
                try:
                    axes = draw()
                    axes = axes.flat[0] if hasattr(axes, "flat") else axes
                    axes.figure.savefig(folder / f"{name}.png", dpi=120, bbox_inches="tight")
                except (ValueError, RuntimeError) as error:
                    log.info("%s.png was not drawn: %s", name, error)
                finally:
                    plt.close("all")
    finally:
        plt.switch_backend(backend)
