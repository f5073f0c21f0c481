"""The pictures of a study: its progress, and what its values depend on.

Optuna draws such pictures as well, but its lines fade where values are low, and its ticks overlap.
"""

import contextlib
import importlib
import itertools
import logging
import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from runwright.figures import COLORS, new_figure, save_figure
from runwright.sweep.parallel_coordinates import draw_coordinates, shaded
from runwright.sweep.scales import scale_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

_FINISHED, _BEST = COLORS[:2]
_PRUNED: Final = "0.45"
_MOST_COLUMNS: Final = 4


def prepare_to_draw() -> None:
    """Import what the pictures need, which takes seconds; for a slot that is idle."""
    with contextlib.suppress(ImportError):  # reported when they are drawn
        for module in ("matplotlib.figure", "optuna.importance"):
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
    found = study.get_trials(deepcopy=False)
    pictures: dict[str, Callable[[], Figure]] = {}
    if len(study.directions) == 1:
        value = measures[0]
        pictures["history"] = lambda: _history(study, found, value)
        pictures["intermediate_values"] = lambda: _validations(study, found, reported)
        if any(trial.params for trial in found):
            pictures["parallel_coordinates"] = lambda: draw_coordinates(study, found, value)
            pictures["slices"] = lambda: _slices(found, value)
            pictures["importances"] = lambda: _importances(study, value)
    else:
        pictures["pareto_front"] = lambda: _front(study, found, measures)
    for name, draw in pictures.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental, or too few trials
            try:
                save_figure(draw(), folder / f"{name}.png")
            except (ValueError, RuntimeError, ImportError) as error:
                log.info("%s.png was not drawn: %s", name, error)


def _history(study: optuna.Study, found: Sequence[FrozenTrial], measure: str) -> "Figure":
    """Every value in the order of the trials, and the best one so far."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(6.4, 4.0)
    axes = figure.add_subplot()
    finished = [trial for trial in found if trial.state is TrialState.COMPLETE]
    numbers = [trial.number for trial in finished]
    values = [_value(trial) for trial in finished]
    best = max if study.direction is StudyDirection.MAXIMIZE else min
    so_far = list(itertools.accumulate(values, best))
    axes.step(
        [*numbers, max(len(found) - 1, numbers[-1])],
        [*so_far, so_far[-1]],
        where="post",
        color=_BEST,
        linewidth=2,
        label="best so far",
    )
    axes.plot(numbers, values, "o", color=_FINISHED, label="finished")
    pruned = [trial for trial in found if trial.state is TrialState.PRUNED]
    if pruned := [trial for trial in pruned if trial.intermediate_values]:
        axes.plot(
            [trial.number for trial in pruned],
            [trial.intermediate_values[max(trial.intermediate_values)] for trial in pruned],
            "x",
            color=_PRUNED,
            label="pruned: its last",
        )
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(measure)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure


def _validations(study: optuna.Study, found: Sequence[FrozenTrial], measure: str) -> "Figure":
    """The validations of every trial: the best one, those that were pruned, the others."""
    drawn = [trial for trial in found if trial.intermediate_values]
    if not drawn:
        raise ValueError("no trial has reported a validation")
    figure = new_figure(6.4, 4.4)
    axes = figure.add_subplot()
    best = study.best_trial.number
    named: set[str] = set()
    for trial in sorted(drawn, key=lambda t: (t.number == best, t.state is TrialState.COMPLETE)):
        color, line, name = {
            TrialState.COMPLETE: (_FINISHED, ".-", "finished"),
            TrialState.PRUNED: (_PRUNED, "x--", "pruned"),
        }.get(trial.state, (COLORS[3], ".:", "failed or running"))
        width = 1.0
        if trial.number == best:
            color, line, name, width = _BEST, ".-", f"best: trial {best}", 2.5
        label = None if name in named else name
        named.add(name)
        steps, values = zip(*sorted(trial.intermediate_values.items()), strict=True)
        axes.plot(steps, values, line, color=color, label=label, linewidth=width, markersize=5)
    axes.set_xlabel("step")
    axes.set_ylabel(measure)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    return figure


def _slices(found: Sequence[FrozenTrial], measure: str) -> "Figure":
    """The values over each option that was searched, darker for later trials."""
    finished = [trial for trial in found if trial.state is TrialState.COMPLETE]
    names = list(dict.fromkeys(name for trial in finished for name in trial.params))
    columns = min(_MOST_COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    figure = new_figure(2.6 * columns + 1.2, 2.8 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    colors = shaded([-trial.number for trial in finished])
    for axes, name in itertools.zip_longest(panels.flat, names):
        if name is None:
            axes.set_axis_off()
            continue
        scale = scale_of(finished, name)
        for trial, color in zip(finished, colors, strict=True):
            if name in trial.params:
                place = scale.place(trial.params[name])
                axes.plot(place, _value(trial), "o", color=color, markersize=5)
        axes.set_xlim(-0.08, 1.08)
        axes.set_xticks(scale.places, scale.labels, **scale.turned)
        axes.set_xlabel(name)
        axes.grid(alpha=0.3)
    for row in panels:
        row[0].set_ylabel(measure)
    figure.suptitle("darker: later trials", fontsize="small")
    return figure


def _importances(study: optuna.Study, measure: str) -> "Figure":
    """How much of the variation of the values each option explains."""
    shares = optuna.importance.get_param_importances(study)
    figure = new_figure(6.4, 1.1 + 0.4 * len(shares))
    axes = figure.add_subplot()
    bars = axes.barh(list(shares), list(shares.values()), color=_FINISHED, height=0.7)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1)
    axes.set_xlabel(f"importance for {measure}, as a share of all")
    return figure


def _front(study: optuna.Study, found: Sequence[FrozenTrial], measures: Sequence[str]) -> "Figure":
    """Every trial by each pair of measures; those that no other beats in all of them stand out."""
    pairs = list(itertools.combinations(range(len(measures)), 2))
    figure = new_figure(4.6 * len(pairs), 4.2)
    finished = [trial for trial in found if trial.state is TrialState.COMPLETE]
    best = {trial.number for trial in study.best_trials}
    parts = (
        ("other trials", _PRUNED, "x", [t for t in finished if t.number not in best]),
        ("Pareto front", _BEST, "o", [t for t in finished if t.number in best]),
    )
    for index, (first, second) in enumerate(pairs, start=1):
        axes = figure.add_subplot(1, len(pairs), index)
        for name, color, marker, trials in parts:
            xs, ys = ([trial.values[place] for trial in trials] for place in (first, second))
            axes.plot(xs, ys, marker, color=color, label=name if index == 1 else None)
        axes.set_xlabel(measures[first])
        axes.set_ylabel(measures[second])
        axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value
