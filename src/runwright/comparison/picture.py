"""The picture of runs: one row for those that differ only in their seed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runwright.comparison.groups import Group, by_monitor, grouped
from runwright.comparison.run_record import RunRecord
from runwright.comparison.table import short
from runwright.errors import UserError
from runwright.figures import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES: Final = (".pdf", ".png", ".svg")


def draw(path: Path, runs: Sequence[RunRecord], keys: Sequence[str]) -> None:
    """Draw every run's value, and the mean ± sd of those that differ only in their seed.

    Raises:
        UserError: there is nothing to draw.
        OSError: the file cannot be written.
    """
    panels = {
        monitor: [group for group in grouped(measured, keys) if group.shown]
        for monitor, measured in by_monitor(runs).items()
    }
    panels = {monitor: groups for monitor, groups in panels.items() if groups}
    if not panels:
        raise UserError("No run has been measured, so there is nothing to draw.")
    names = {
        monitor: [_label(keys, g.options) for g in groups] for monitor, groups in panels.items()
    }
    longest = max(len(name) for listed in names.values() for name in listed)
    heights = [1.2 + 0.3 * len(groups) for groups in panels.values()]
    figure = new_figure(5.0 + 0.075 * longest, sum(heights))
    rows = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (monitor, groups) in zip(rows, panels.items(), strict=True):
        _draw_groups(axes, monitor, groups[::-1], names[monitor][::-1])
    save_figure(figure, path)


def _draw_groups(axes: "Axes", monitor: str, groups: Sequence[Group], names: Sequence[str]) -> None:
    """Draw groups from the bottom up; runs that have not finished are hollow."""
    for height, group in enumerate(groups):
        values = [run.best for run in group.shown]
        fill = "full" if group.finished else "none"
        axes.plot(values, [height] * len(values), "o", color="C0", alpha=0.5, fillstyle=fill)
        if len(group.finished) > 1:
            axes.errorbar(group.mean, height, xerr=group.sd, fmt="|", color="C1", capsize=3)
    axes.set_yticks(range(len(groups)), names)
    axes.set_ylim(-0.5, len(groups) - 0.5)
    said = [monitor]
    if any(len(group.finished) > 1 for group in groups):
        said.append("mean ± sd over seeds")
    if not all(group.finished for group in groups):
        said.append("hollow: not finished")
    axes.set_xlabel("; ".join(said))
    axes.grid(axis="x", alpha=0.3)


def _label(keys: Sequence[str], options: Sequence[str]) -> str:
    """What sets a group apart, by the last parts of the keys: "lr=0.001 num_hidden=2"."""
    last = [key.rpartition(".")[2] for key in keys]
    names = [name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True)]
    pairs = zip(names, options, strict=True)
    return " ".join(f"{name}={short(value)}" for name, value in pairs) or "all runs"
