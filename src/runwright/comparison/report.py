"""What is printed about runs that are compared: a table, the best, and what is worth knowing."""

import math
import shlex
import time
from collections.abc import Sequence
from typing import Final

import attrs

from runwright.comparison.formats import FORMATS, as_text
from runwright.comparison.liveness import last_written
from runwright.comparison.repetitions import (
    SEED,
    Group,
    apart,
    best_first,
    by_option,
    differing,
    grouped,
    naming_the_seed,
)
from runwright.comparison.run_record import RunRecord
from runwright.comparison.table import Column, about, columns, mean_and_sd
from runwright.training.signs_of_life import duration

_NO_END: Final = (
    "In brackets: the best so far of runs that have not finished. It is left out of means "
    "and comparisons."
)


@attrs.frozen(kw_only=True)
class Comparison:
    """How runs are compared.

    Attributes:
        measures: what is shown, for example `test_accuracy`; nothing is the monitored measure.
        over: the options to average over, besides those called `fold`.
        best_by: the measure that decides which is best; None is the monitored one.
        order: the option or measure that rows are sorted by; None is `best_by`.
        table_per: the options whose values have tables of their own.
        intervals: whether to show 95 % confidence intervals.
        table_format: "text", "markdown" or "latex".
        width: of the terminal, in characters; None if the output goes elsewhere.
    """

    measures: tuple[str, ...] = ()
    over: tuple[str, ...] = (SEED,)
    best_by: str | None = None
    order: str | None = None
    table_per: tuple[str, ...] = ("dm",)
    intervals: bool = False
    table_format: str = "text"
    width: int | None = None

    def averaged_over(self, runs: Sequence[RunRecord]) -> tuple[str, ...]:
        """The options to average over: those that were asked for, and every fold.

        The best of several folds would be the luckiest validation set, not the best model.
        """
        keys = dict.fromkeys(key for run in runs for key in run.options)
        folds = [key for key in keys if key.rpartition(".")[2] == "fold"]
        return tuple(dict.fromkeys([*self.over, *folds]))


@attrs.frozen(kw_only=True)
class Report:
    """The table of runs, and what is said below it.

    Attributes:
        title: what the table is about; empty if it is the only one.
        table: the table, in the format that was asked for.
        notes: sentences, a line each.
    """

    title: str
    table: str
    notes: list[str]


def reports(runs: Sequence[RunRecord], comparison: Comparison) -> list[Report]:
    """The tables of runs: one for the runs of each data module that monitor the same measure."""
    tables = apart(runs, comparison.table_per)
    return [
        _report(members, values, comparison, is_alone=len(tables) == 1)
        for values, members in tables.items()
    ]


def _report(
    runs: Sequence[RunRecord], values: tuple[str, ...], comparison: Comparison, *, is_alone: bool
) -> Report:
    *of_table, monitor = values
    over = comparison.averaged_over(runs)
    keys = differing(runs, over)
    best_by = comparison.best_by or monitor
    groups = best_first(grouped(runs, keys, over), best_by)
    best = groups[0] if groups[0].finished and groups[0].summary(best_by).values else None
    notes: list[str] = []
    if any(group.shown and not group.finished for group in groups):
        notes.append(_NO_END)
    notes += [line for group in groups for line in group.repeated_notes]
    notes += _uneven(groups)
    if best is not None:
        notes.append(_best(best, best_by))
    notes += [_unknown(run) for run in runs if run.state == "unknown"]
    notes += [f"{run.path} {run.state}: {run.error}" for run in runs if run.error is not None]
    groups = _in_order(groups, comparison.order)
    shown = comparison.measures or (monitor or "(nothing was measured)",)
    table = columns(groups, keys, shown, intervals=comparison.intervals)
    names = [f"{key}={value}" for key, value in zip(comparison.table_per, of_table, strict=True)]
    title = "" if is_alone else ", ".join([*names, *([monitor] if monitor else [])])
    return Report(title=title, table=_formatted(table, groups, comparison), notes=notes)


def _formatted(table: list[Column], groups: Sequence[Group], comparison: Comparison) -> str:
    if comparison.table_format != "text":  # for a paper, which has no directories
        return FORMATS[comparison.table_format](table)
    return as_text([*table, *about(groups)], comparison.width)


def _in_order(groups: list[Group], order: str | None) -> list[Group]:
    if order is None:
        return groups
    every = [run for group in groups for run in group.runs]
    is_measure = any(order in run.values or order == run.monitor for run in every)
    return best_first(groups, order) if is_measure else by_option(groups, order)


def _uneven(groups: Sequence[Group]) -> list[str]:
    """What to report about means over fewer repetitions than those beside them."""
    finished = [group for group in groups if group.finished]
    every = {group.repetition(run) for group in finished for run in group.finished}
    notes: list[str] = []
    for group in finished:
        missing = sorted(every - {group.repetition(run) for run in group.finished})
        if missing and len(group.runs) > 1:
            pairs = [
                " ".join(f"{key}={value}" for key, value in zip(group.over, values, strict=True))
                for values in missing
            ]
            where = " ".join(f"{key}={value}" for key, value in group.options.items())
            notes.append(f"{where}: a mean over fewer runs than others: no {', '.join(pairs)}.")
    return notes


def _best(group: Group, measure: str) -> str:
    """The best value, and the command that reproduces it."""
    first = group.finished[0]
    python = f"  python {shlex.quote(first.program)}"
    where = f"--config-dir {shlex.quote(str(first.path))} --config-name config"
    said = f"Best: {measure} {mean_and_sd(group.summary(measure))}"
    if len(group.finished) == 1:
        return f"{said}, {group.listed(group.finished)}. To run it again:\n{python} {where}"
    values = group.values(group.finished)
    swept = [f"{key}={','.join(every)}" for key, every in values.items()]
    swept += [f"{key}={text}" for key, text in naming_the_seed(group.finished).items()]
    is_whole = len(group.finished) == math.prod(map(len, values.values()))
    more = "" if is_whole else " (with those that are missing)"
    return (
        f"{said}, {group.listed(group.finished)}. To run them again{more}:\n"
        f"{python} --multirun {where} {' '.join(map(shlex.quote, swept))}"
    )


def _unknown(run: RunRecord) -> str:
    quiet = duration(max(0.0, time.time() - last_written(run.path)))
    return (
        f"{run.path} has no recorded end. Whether it still runs on {run.host} cannot be seen from "
        f"here; it was last written to {quiet} ago."
    )
