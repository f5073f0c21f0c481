"""The pictures of a study: its progress, and what its values depend on."""

import contextlib
import importlib
import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import optuna
from optuna.trial import TrialState

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)


def prepare_to_draw() -> None:
    """Import what the pictures need, which takes seconds; for a slot that is idle."""
    with contextlib.suppress(ImportError):  # reported when they are drawn
        for module in ("matplotlib.pyplot", "optuna.visualization.matplotlib", "optuna.importance"):
            importlib.import_module(module)


def draw_study(
    study: optuna.Study, folder: Path, *, measures: Sequence[str], reported: str
) -> None:
    """Draw the progress of the sweep, and what the values depend on.

    Args:
        study: the study, with at least one finished trial.
        folder: where to put the pictures.
        measures: what the values of a trial are.
        reported: the measure that its validations report.
    """
    from matplotlib import pyplot as plt
    from optuna.visualization import matplotlib as drawing

    folder.mkdir(parents=True, exist_ok=True)
    pictures: dict[str, Callable[[], Any]] = {}
    if len(study.directions) == 1:
        value = measures[0]
        pictures["history"] = lambda: drawing.plot_optimization_history(study, target_name=value)
        pictures["intermediate_values"] = lambda: _draw_validations(study, reported)
        if any(t.params for t in study.get_trials(deepcopy=False)):
            pictures["parallel_coordinates"] = lambda: _draw_coordinates(study, value)
            pictures["slices"] = lambda: drawing.plot_slice(study, target_name=value)
            pictures["importances"] = lambda: drawing.plot_param_importances(
                study, target_name=value
            )
    elif len(study.directions) <= 3:
        names = list(measures)
        pictures["pareto_front"] = lambda: drawing.plot_pareto_front(study, target_names=names)
    logging.getLogger("matplotlib.category").setLevel(logging.WARNING)  # on numbers as categories
    backend = plt.get_backend()
    plt.switch_backend("agg")
    try:
        for name, draw in pictures.items():
            with warnings.catch_warnings(), plt.rc_context():  # Optuna's style is for its pictures
                warnings.simplefilter("ignore")  # experimental, or too few trials for a curve
                try:
                    axes = draw()
                    axes = axes.flat[0] if hasattr(axes, "flat") else axes
                    axes.figure.savefig(folder / f"{name}.png", dpi=120, bbox_inches="tight")
                except (ValueError, RuntimeError, ImportError) as error:
                    log.info("%s.png was not drawn: %s", name, error)
                finally:
                    plt.close("all")
    finally:
        plt.switch_backend(backend)


def _draw_validations(study: optuna.Study, measure: str) -> "Axes":
    """Draw the validations of every trial: the best one, those that were pruned, the others.

    With many trials, Optuna's own picture is mostly legend.
    """
    from matplotlib import pyplot as plt

    _, axes = plt.subplots(figsize=(6.4, 4.8))
    found = [trial for trial in study.get_trials(deepcopy=False) if trial.intermediate_values]
    if not found:
        raise ValueError("no trial has reported a validation")
    best = study.best_trial.number
    for trial in sorted(found, key=lambda t: (t.number == best, t.state is TrialState.COMPLETE)):
        color, label = {
            TrialState.COMPLETE: ("tab:blue", "finished"),
            TrialState.PRUNED: ("0.7", "pruned"),
        }.get(trial.state, ("tab:red", "failed or running"))
        width = 1.0
        if trial.number == best:
            color, label, width = "tab:orange", f"best: trial {best}", 2.5
        steps, values = zip(*sorted(trial.intermediate_values.items()), strict=True)
        axes.plot(steps, values, ".-", color=color, label=label, linewidth=width)
    once = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(once.values(), once.keys())
    axes.set_xlabel("step")
    axes.set_ylabel(measure)
    axes.grid(alpha=0.3)
    return axes


def _draw_coordinates(study: optuna.Study, measure: str) -> "Axes":
    """Draw Optuna's parallel coordinates, with room for what is written on them."""
    from optuna.visualization import matplotlib as drawing

    axes = drawing.plot_parallel_coordinate(study, target_name=measure)
    figure = cast("Figure", axes.figure)
    width = 2.0 + 1.5 * len({name for t in study.get_trials(deepcopy=False) for name in t.params})
    figure.set_size_inches(max(6.4, width), 5.6)
    for axis in figure.axes:
        if axis.get_label() == "<colorbar>":  # it would cover the labels of a logarithmic axis
            place = axis.get_position()
            axis.set_position(
                (place.x0 + 0.7 / figure.get_figwidth(), place.y0, place.width, place.height)
            )
        for label in axis.get_yticklabels():
            label.set_bbox({"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1.0})
    return axes
