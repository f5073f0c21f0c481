"""The scale of a searched option in a picture: where its values are, and which are written."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from runwright.sweep.distributions import text_of

_MOST_WRITTEN: Final = 5
_WIDTH: Final = 22  # characters below an axis, before they are turned


@attrs.frozen(kw_only=True)
class Scale:
    """An axis from 0 to 1.

    Attributes:
        place: where a value is.
        places: where a value is written.
        labels: these values.
    """

    place: Callable[[Any], float]
    places: list[float]
    labels: list[str]

    @property
    def turned(self) -> dict[str, Any]:
        """How the labels are set below an axis, so that they do not overlap."""
        is_long = len("  ".join(self.labels)) > _WIDTH
        return {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if is_long else {}


def scale_of(trials: Sequence[FrozenTrial], name: str) -> Scale:
    """The scale of an option with the values that it had in some trials."""
    having = [trial for trial in trials if name in trial.params]
    distribution = having[-1].distributions[name]
    values = [trial.params[name] for trial in having]
    if isinstance(distribution, CategoricalDistribution):
        choices: list[Any] = list(distribution.choices)
        if all(isinstance(choice, int | float) for choice in choices):
            choices.sort()
        return _of_choices([*choices, *(v for v in dict.fromkeys(values) if v not in choices)])
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return scale_of_numbers(
        values, log=distribution.log, integer=isinstance(distribution, IntDistribution)
    )


def scale_of_numbers(values: Sequence[float], *, log: bool = False, integer: bool = False) -> Scale:
    """The scale of numbers, from the smallest to the largest."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    low, high = min(values), max(values)
    way = math.log if log else float
    begin, width = way(low), way(high) - way(low)

    def place(value: float) -> float:
        return (way(value) - begin) / width if width else 0.5

    if low == high:
        ticks = [low]
    elif log:
        steps = (1, 2, 5) if high / low < 1000 else (1,)
        ticks = list(LogLocator(subs=steps, numticks=2 * _MOST_WRITTEN).tick_values(low, high))
    else:
        ticks = list(
            MaxNLocator(_MOST_WRITTEN, integer=integer, steps=[1, 2, 5, 10]).tick_values(low, high)
        )
    slack = 1e-9 * (high - low)  # a power of ten may be computed a little beside an end
    written = [tick for tick in ticks if low - slack <= tick <= high + slack]
    return Scale(
        place=place, places=[place(tick) for tick in written], labels=[f"{t:.4g}" for t in written]
    )


def _of_choices(choices: Sequence[Any]) -> Scale:
    last = max(1, len(choices) - 1)

    def place(value: Any) -> float:
        return choices.index(value) / last if len(choices) > 1 else 0.5

    return Scale(
        place=place,
        places=[place(choice) for choice in choices],
        labels=[_cut(text_of(choice)) for choice in choices],
    )


def _cut(text: str) -> str:
    return text if len(text) <= 24 else f"…{text[-23:]}"
