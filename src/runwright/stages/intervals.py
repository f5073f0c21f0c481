"""Confidence intervals of measures, from one table of predictions."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from runwright.figures import COLORS, new_figure, save_figure
from runwright.objective import Objective
from runwright.storage.atomic_files import write_bytes

Table = Mapping[str, NDArray[Any]]

_TAIL: Final = 0.025  # on either side of a 95 % interval
_NORMAL: Final = 1.96  # standard deviations within which 95 % of a normal distribution lie


@attrs.frozen(kw_only=True)
class Interval:
    """A 95 % confidence interval.

    Attributes:
        mean: the mean of the measure over the bootstrap runs; without any, its value.
        low: the lower bound; NaN if there is none.
        high: the upper bound, likewise.
    """

    mean: float
    low: float
    high: float

    @property
    def is_known(self) -> bool:
        """Whether the bounds exist."""
        return not math.isnan(self.low)

    def __str__(self) -> str:
        return f"[{self.low:.4f}, {self.high:.4f}]" if self.is_known else "(no interval)"


def of_table(
    objective: Objective[Any],
    table: Table,
    *,
    method: str,
    num_bootstrap_runs: int,
    seed: int,
) -> dict[str, Interval]:
    """The interval of every measure that is computed from the table of predictions.

    A bootstrap run resamples N of the N examples with replacement (Efron 1979).

    Args:
        objective: computes the measures of a table.
        table: the columns of the table, arrays of shape (N, …).
        method: `bootstrap_quantiles` takes the 2.5 and 97.5 % quantiles of the runs;
            `bootstrap_t_interval` the mean ± t₀.₉₇₅ · their standard deviation; `binomial`
            p ± 1.96·√(p(1 − p)/N), for proportions only.
        num_bootstrap_runs: how often to resample.
        seed: seeds the resampling.
    """
    count = len(next(iter(table.values())))
    values = objective.measures_of(table)
    drawn = np.random.default_rng(seed)
    runs = [
        objective.measures_of({name: column[chosen] for name, column in table.items()})
        for chosen in (drawn.integers(count, size=count) for _ in range(num_bootstrap_runs))
    ]
    intervals: dict[str, Interval] = {}
    for name, value in values.items():
        replicates = np.array([run[name] for run in runs], dtype=np.float64)
        if method == "binomial":
            p = float(replicates.mean()) if runs else value
            is_proportion = name in objective.proportions
            intervals[name] = binomial(p, count) if is_proportion else _unknown(p)
        else:
            intervals[name] = _of_replicates(replicates, method)
    return intervals


def of_runs(runs: Mapping[str, NDArray[np.float64]], method: str) -> dict[str, Interval]:
    """The interval of every measure, from its values in the bootstrap runs, (runs,)."""
    return {name: _of_replicates(replicates, method) for name, replicates in runs.items()}


def _of_replicates(replicates: NDArray[np.float64], method: str) -> Interval:
    is_by_quantiles = method == "bootstrap_quantiles"
    return quantiles(replicates) if is_by_quantiles else t_interval(replicates)


def quantiles(replicates: NDArray[np.float64]) -> Interval:
    """The 2.5 and 97.5 % quantiles of the bootstrap runs."""
    known = replicates[~np.isnan(replicates)]
    if known.size == 0:
        return _unknown(math.nan)
    low, high = np.quantile(known, (_TAIL, 1 - _TAIL))
    return Interval(mean=float(known.mean()), low=float(low), high=float(high))


def t_interval(replicates: NDArray[np.float64]) -> Interval:
    """The mean of the bootstrap runs, ± t₀.₉₇₅ of their standard deviations."""
    from scipy.stats import t

    known = replicates[~np.isnan(replicates)]
    if known.size < 2:
        return _unknown(float(known.mean()) if known.size else math.nan)
    mean = float(known.mean())
    half = float(t.ppf(1 - _TAIL, known.size - 1) * known.std(ddof=1))
    return Interval(mean=mean, low=mean - half, high=mean + half)


def binomial(p: float, count: int) -> Interval:
    """The normal approximation of the interval of a proportion `p` of `count` examples."""
    half = _NORMAL * math.sqrt(p * (1 - p) / count)
    return Interval(mean=p, low=max(0.0, p - half), high=min(1.0, p + half))


def _unknown(mean: float) -> Interval:
    return Interval(mean=mean, low=math.nan, high=math.nan)


def record(
    intervals: Mapping[str, Interval],
    method: str | None,
    num_bootstrap_runs: int,
    num_examples: Mapping[str, int],
) -> dict[str, Any]:
    """The intervals as plain values for a JSON file; a bound that does not exist is None."""
    return {
        "ci_method": method,
        "num_bootstrap_runs": num_bootstrap_runs,
        "num_examples": dict(num_examples),
        **{
            name: {bound: _or_none(value) for bound, value in attrs.asdict(one).items()}
            for name, one in intervals.items()
        },
    }


def write_table(
    path: Path, measures: Mapping[str, float], intervals: Mapping[str, Interval]
) -> None:
    """Write a CSV file of measures: name, value, mean of the bootstrap runs, and bounds."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["measure", "value", "mean", "low", "high"])
    for name, one in intervals.items():
        numbers = (measures.get(name, math.nan), one.mean, one.low, one.high)
        writer.writerow([name, *("" if math.isnan(number) else number for number in numbers)])
    write_bytes(path, text.getvalue().encode())


def draw(path: Path, measures: Mapping[str, float], intervals: Mapping[str, Interval]) -> None:
    """Draw every measure that has an interval, one row each."""
    shown = {name: one for name, one in intervals.items() if one.is_known}
    figure = new_figure(7, 1 + 0.4 * max(1, len(shown)))
    axes = figure.add_subplot()
    for row, (name, one) in enumerate(shown.items()):
        axes.plot(
            [one.low, one.high], [row, row], color=COLORS[0], solid_capstyle="butt", linewidth=3
        )
        axes.plot(measures.get(name, one.mean), row, "o", color="black", markersize=5)
    axes.set_yticks(range(len(shown)), list(shown))
    axes.set_ylim(len(shown) - 0.5, -0.5)  # from top to bottom
    axes.set_xlabel("value and 95 % confidence interval")
    axes.grid(axis="x", alpha=0.3)
    save_figure(figure, path)


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
