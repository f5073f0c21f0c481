"""The table of runs that are compared with each other, column by column."""

import math
from collections.abc import Sequence
from typing import Final, Literal

import attrs

from runwright.comparison.repetitions import Group, Summary
from runwright.comparison.run_record import RunRecord
from runwright.training.signs_of_life import duration

_NOTHING: Final = "–"


@attrs.frozen(kw_only=True)
class Column:
    """One column.

    Attributes:
        name: its heading.
        kind: what it holds: an option, a measure, or what is worth knowing about the runs.
        cells: from the first row to the last.
    """

    name: str
    kind: Literal["option", "measure", "about"]
    cells: list[str]


def columns(
    groups: Sequence[Group], keys: Sequence[str], measures: Sequence[str], *, intervals: bool
) -> list[Column]:
    """A table with a row for each group.

    Args:
        groups: the rows.
        keys: the options to show.
        measures: the measures to show.
        intervals: whether to show 95 % confidence intervals besides.
    """
    found = [
        Column(name=key, kind="option", cells=[_option(group, key) for group in groups])
        for key in keys
    ]
    for measure in measures:
        cells = [_measured(group, measure) for group in groups]
        found.append(Column(name=measure, kind="measure", cells=cells))
        if intervals:
            bounds = [_bounds(group.summary(measure)) for group in groups]
            found.append(Column(name="95 % interval", kind="measure", cells=bounds))
    if any(len(group.runs) > 1 for group in groups):
        counts = [str(len(group.shown)) for group in groups]
        found.append(Column(name="runs", kind="measure", cells=counts))
    return found


def about(groups: Sequence[Group]) -> list[Column]:
    """How the runs of each group ended, how long they took, and where they are."""
    rows = {
        "state": [_states(group.runs) for group in groups],
        "time": [_time(group.runs) for group in groups],
        "directory": [_where(group.runs) for group in groups],
    }
    if all(len(group.runs) == 1 for group in groups):
        last = [number(group.runs[0].final) for group in groups]
        steps = [str(group.runs[0].step) for group in groups]
        rows = {"last": last, "step": steps, **rows}
    return [Column(name=name, kind="about", cells=cells) for name, cells in rows.items()]


def number(value: float) -> str:
    """A value with four digits."""
    return _NOTHING if math.isnan(value) else f"{value:.4g}"


def mean_and_sd(summary: Summary) -> str:
    """A mean and its standard deviation, which has two digits, to the same decimal place."""
    mean, sd = summary.mean, summary.sd
    if math.isnan(sd) or sd == 0:
        return number(mean) if math.isnan(sd) else f"{number(mean)} ± 0"
    decimals = _decimals(sd)
    if decimals is None:
        return f"{mean:.4g} ± {sd:.2g}"
    return f"{mean:.{decimals}f} ± {sd:.{decimals}f}"


def _decimals(spread: float) -> int | None:
    """How many digits after the point leave two of a spread; None where that is no good form."""
    if not (math.isfinite(spread) and spread > 0):
        return None
    decimals = 1 - math.floor(math.log10(spread))
    return decimals if 0 <= decimals <= 6 else None


def short(value: str) -> str:
    """A value with a readable number of digits; integers keep all of theirs."""
    try:
        is_long = len(value) > 6 and not value.lstrip("-").isdigit()
        return f"{float(value):.4g}" if is_long else value
    except ValueError:
        return value


def short_names(keys: Sequence[str]) -> list[str]:
    """The last part of every key, or the whole key where two would be called the same."""
    last = [key.rpartition(".")[2] for key in keys]
    return [name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True)]


def _option(group: Group, key: str) -> str:
    return short(group.options.get(key, _NOTHING))


def _measured(group: Group, measure: str) -> str:
    summary = group.summary(measure)
    if group.finished or not summary.values:
        return mean_and_sd(summary)
    return f"({number(summary.mean)})"


def _bounds(summary: Summary) -> str:
    if summary.bounds is None:
        return _NOTHING
    low, high = summary.bounds
    # Beside a mean, with its digits: of the deviation, or of the interval where there is none.
    spread = high - low if math.isnan(summary.sd) else summary.sd
    decimals = _decimals(spread)
    if decimals is None:
        return f"[{number(low)}, {number(high)}]"
    return f"[{low:.{decimals}f}, {high:.{decimals}f}]"


def _states(runs: Sequence[RunRecord]) -> str:
    counts: dict[str, int] = {}
    for run in runs:
        counts[run.state] = counts.get(run.state, 0) + 1
    if len(runs) == 1:
        return runs[0].state
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def _time(runs: Sequence[RunRecord]) -> str:
    seconds = [run.seconds for run in runs if math.isfinite(run.seconds)]
    return duration(sum(seconds)) if seconds else _NOTHING


def _where(runs: Sequence[RunRecord]) -> str:
    return str(runs[0].path) if len(runs) == 1 else f"{runs[0].path}, …"
