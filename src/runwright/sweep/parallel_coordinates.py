"""The picture of trials as lines through all that was searched, to what they came to."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from runwright.figures import COLORS, new_figure
from runwright.sweep.scales import scale_of, scale_of_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DARKEST, _LIGHTEST = 0.0, 0.8  # of the colour map, whose end is pale
_INCHES: Final = 1.7  # between two axes


def draw_coordinates(study: optuna.Study, trials: Sequence[FrozenTrial], measure: str) -> "Figure":
    """A line for every finished trial, darker for better ones; the best one stands out.

    A line is interrupted where a trial has no such option.
    """
    best = study.best_trial.number
    finished = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    finished.sort(key=lambda trial: trial.number == best)  # drawn last
    values = [trial.value or 0.0 for trial in finished]
    names = list(dict.fromkeys(name for trial in finished for name in trial.params))
    scales = [*(scale_of(finished, name) for name in names), scale_of_numbers(values)]
    figure = new_figure(2.2 + _INCHES * len(names), 4.6)
    axes = figure.add_subplot()
    sign = -1 if study.direction is StudyDirection.MAXIMIZE else 1
    for trial, value, color in zip(
        finished, values, shaded([sign * value for value in values]), strict=True
    ):
        heights = [
            scale.place(trial.params[name]) if name in trial.params else math.nan
            for name, scale in zip(names, scales, strict=False)
        ]
        is_best = trial.number == best
        axes.plot(
            range(len(scales)),
            [*heights, scales[-1].place(value)],
            color=COLORS[1] if is_best else color,
            linewidth=2.5 if is_best else 1.0,
            label=f"best: trial {best}" if is_best else None,
        )
    for x, scale in enumerate(scales):
        axes.axvline(x, color="black", linewidth=1)
        for place, label in zip(scale.places, scale.labels, strict=True):
            axes.annotate(
                label,
                (x, place),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize="small",
                bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 0.8},
            )
            axes.plot([x - 0.02, x + 0.02], [place, place], color="black", linewidth=1)
    axes.set_xlim(-0.1, len(scales) - 0.6)
    axes.set_xticks(range(len(scales)), [*names, measure], rotation=20, ha="right")
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    figure.legend(loc="outside upper center", frameon=False)
    figure.supxlabel("darker: better", fontsize="small")
    return figure


def shaded(values: Sequence[float]) -> list[tuple[float, float, float, float]]:
    """A colour for each value, the darkest for the lowest; none is pale."""
    from matplotlib import colormaps

    low, width = min(values), max(values) - min(values)
    return [
        colormaps["viridis"](
            _DARKEST + (_LIGHTEST - _DARKEST) * ((v - low) / width if width else 0)
        )
        for v in values
    ]
