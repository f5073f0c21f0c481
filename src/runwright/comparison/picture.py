"""The pictures of runs: their values side by side, and their curves."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from runwright.comparison.repetitions import Group, apart, best_first, differing, grouped
from runwright.comparison.report import Comparison
from runwright.comparison.run_record import RunRecord
from runwright.comparison.table import short, short_names
from runwright.errors import UserError
from runwright.figures import COLORS, line_style, new_figure, save_figure
from runwright.storage.metrics_table import MetricsTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

SUFFIXES: Final = (".pdf", ".png", ".svg")

_NO_CURVE: Final = (
    "There is no curve of {}: only what is measured during a training has one (metrics.csv), such "
    "as val_loss. Choose it with --measures."
)


def draw(path: Path, runs: Sequence[RunRecord], comparison: Comparison) -> None:
    """Draw every run's value, and the mean ± sd of those that repeat each other.

    Raises:
        UserError: there is nothing to draw.
        OSError: the file cannot be written.
    """
    panels = [
        (measure, shown)
        for measure, groups in _panels(runs, comparison)
        if (shown := [group for group in groups if group.summary(measure).values])
    ]
    if not panels:
        raise UserError("No run has been measured, so there is nothing to draw.")
    names = [_labels(groups) for _, groups in panels]
    longest = max(len(name) for listed in names for name in listed)
    heights = [1.2 + 0.3 * len(groups) for _, groups in panels]
    figure = new_figure(5.0 + 0.075 * longest, sum(heights))
    rows = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (measure, groups), labels in zip(rows, panels, names, strict=True):
        _draw_groups(axes, measure, groups[::-1], labels[::-1])
    save_figure(figure, path)


def draw_curves(path: Path, runs: Sequence[RunRecord], comparison: Comparison) -> None:
    """Draw measures over the steps: a line for each row of the table, ± sd where runs repeat.

    Raises:
        UserError: there is nothing to draw.
        OSError: the file cannot be written.
    """
    panels = [
        (measure, groups)
        for measure, groups in _panels(runs, comparison)
        if any(len(_curve(run, measure)[0]) for group in groups for run in group.runs)
    ]
    if not panels:
        raise UserError(_NO_CURVE.format(", ".join(comparison.measures) or "the monitored measure"))
    figure = new_figure(8.0, 3.6 * len(panels))
    rows = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axes, (measure, groups) in zip(rows, panels, strict=True):
        for number, (group, name) in enumerate(zip(groups, _labels(groups), strict=True)):
            _draw_curve(axes, group, measure, name, line_style(number))
        axes.set_ylabel(measure)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    save_figure(figure, path)


def _panels(
    runs: Sequence[RunRecord], comparison: Comparison
) -> "Iterator[tuple[str, list[Group]]]":
    """The measures to draw, each with the rows of its table."""
    over = comparison.averaged_over(runs)
    for (*_, monitor), members in apart(runs, comparison.table_per).items():
        groups = grouped(members, differing(members, over), over)
        for measure in comparison.measures or filter(None, [monitor]):
            yield measure, best_first(groups, comparison.best_by or monitor)


def _draw_groups(axes: "Axes", measure: str, groups: Sequence[Group], names: Sequence[str]) -> None:
    """Draw groups from the bottom up; runs that have not finished are hollow."""
    for height, group in enumerate(groups):
        summary = group.summary(measure)
        fill = "full" if group.finished else "none"
        xs, ys = summary.values, [height] * len(summary.values)
        axes.plot(xs, ys, "o", color=COLORS[0], alpha=0.7, fillstyle=fill)
        if group.finished and len(xs) > 1:
            axes.errorbar(
                summary.mean, height, xerr=summary.sd, fmt="|", color=COLORS[1], capsize=3
            )
    axes.set_yticks(range(len(groups)), names)
    axes.set_ylim(-0.5, len(groups) - 0.5)
    said = [measure]
    if any(len(group.finished) > 1 for group in groups):
        said.append(f"mean ± sd over {_repeated(groups[0])}")
    if not all(group.finished for group in groups):
        said.append("hollow: not finished")
    axes.set_xlabel("; ".join(said))
    axes.grid(axis="x", alpha=0.3)


def _repeated(group: Group) -> str:
    return " and ".join("seeds" if key == "seed" else key for key in group.over)


def _draw_curve(axes: "Axes", group: Group, measure: str, name: str, style: dict[str, Any]) -> None:
    curves = [curve for run in group.runs if len((curve := _curve(run, measure))[0])]
    if not curves:
        return
    if len(curves) == 1:
        axes.plot(*curves[0], **style, label=name)
        return
    # Where all runs were measured: a mean over fewer would jump where one ends.
    steps, values = curves[0]
    for other, _ in curves[1:]:
        steps = np.intersect1d(steps, other)
    values = np.array([value[np.isin(step, steps)] for step, value in curves])
    mean, sd = values.mean(axis=0), values.std(axis=0, ddof=1)
    axes.plot(steps, mean, **style, label=f"{name} ({len(curves)} runs)")
    axes.fill_between(steps, mean - sd, mean + sd, color=style["color"], alpha=0.2, linewidth=0)


def _curve(run: RunRecord, measure: str) -> "tuple[NDArray[np.int64], NDArray[np.float64]]":
    file = run.path / "metrics.csv"
    table = MetricsTable.read(file) if file.exists() else MetricsTable({})
    if measure not in table:
        return np.array([], dtype=np.int64), np.array([])
    return table.curve(measure)


def _labels(groups: Sequence[Group]) -> list[str]:
    """What sets each group apart, by the last parts of the keys: "lr=0.001 num_hidden=2"."""
    keys = list(dict.fromkeys(key for group in groups for key in group.options))
    names = dict(zip(keys, short_names(keys), strict=True))
    said = (
        " ".join(f"{names[key]}={short(value)}" for key, value in group.options.items())
        for group in groups
    )
    return [one or "all runs" for one in said]
