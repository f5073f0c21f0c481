"""`python -m runwright results`: every run below some directories as one table."""

import argparse
import contextlib
import csv
import math
import shlex
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runwright.errors import UserError
from runwright.figures import new_figure, save_figure
from runwright.tools.groups import Group, by_monitor, differing, grouped, seed_of
from runwright.tools.records import RunRecord, find_runs, last_written, read_run
from runwright.training.run_log import duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DESCRIPTION: Final = """\
Show every run below the directories as one table: what differed between them, the best value of
the measure that decides and the last one, mean and standard deviation over seeds, how each ended,
and the time.
"""
_PICTURES: Final = (".pdf", ".png", ".svg")
_NO_END: Final = (
    "In brackets: the best so far of runs that have not finished. It is in no mean, and not "
    "compared."
)


def main(argv: list[str]) -> int:
    """Run the command.

    Args:
        argv: what follows `results` on the command line.

    Returns:
        The exit status.

    Raises:
        UserError: there is no run below a directory, or a file cannot be written.
    """
    args = _parser().parse_args(argv)
    if args.picture is not None and args.picture.suffix.lower() not in _PICTURES:
        raise UserError(f"--picture {args.picture}: must end in one of: {', '.join(_PICTURES)}.")
    folders: list[Path] = args.directories
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such directory.")
    found = [read_run(path) for path in find_runs(folders)]
    runs = [run for run in found if run.options.get("stage", "fit") == "fit"]
    if not runs:
        listed = ", ".join(map(str, folders))
        raise UserError(
            f"There is no run directory in or below {listed}: none that has a config.yaml, of a "
            "training, and an environment.json."
        )
    keys = differing(runs)
    for monitor, measured in by_monitor(runs).items():
        print(report(measured, keys, monitor))
    if len(found) > len(runs):
        print(f"{len(found) - len(runs)} runs that did not train (another stage) are left out.")
    if args.csv is not None:
        with _writing(args.csv):
            _write_csv(args.csv, runs, keys)
        print(f"Every run is in {args.csv}.")
    if args.picture is not None:
        draw(args.picture, runs, keys)
        print(f"The picture is in {args.picture}.")
    return 0


def report(runs: Sequence[RunRecord], keys: Sequence[str], monitor: str) -> str:
    """The table of runs with the same measure, and the command that reruns the best ones."""
    groups = grouped(runs, keys)
    has_seeds = any(len(group.runs) > 1 for group in groups)
    header = [*keys, monitor or "(nothing was measured)"]
    header += ["sd", "runs"] if has_seeds else ["last", "step"]
    rows: list[list[str]] = []
    for group in groups:
        row = [*map(_short, group.options), _value(group)]
        if has_seeds:
            row += [_number(group.sd), str(len(group.shown))]
        else:
            row += [_number(group.runs[0].final), str(group.runs[0].step)]
        rows.append([*row, _states(group.runs), _time(group.runs), _where(group.runs)])
    lines = [_aligned([[*header, "state", "time", "directory"], *rows])]
    if any(group.shown and not group.finished for group in groups):
        lines.append(_NO_END)
    lines += [line for group in groups for line in group.twice]
    if groups[0].finished:
        lines.append(_best(groups[0], monitor))
    lines += [_unknown(run) for run in runs if run.state == "unknown"]
    lines += [f"{run.path} {run.state}: {run.error}" for run in runs if run.error is not None]
    return "\n".join(lines)


def draw(path: Path, runs: Sequence[RunRecord], keys: Sequence[str]) -> None:
    """Draw every run's value, and the mean ± sd of those that differ in their seed only.

    Raises:
        UserError: there is nothing to draw, or the file cannot be written.
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
    with _writing(path):
        save_figure(figure, path)


def _draw_groups(axes: "Axes", monitor: str, groups: Sequence[Group], names: Sequence[str]) -> None:
    """Draw groups from below; what has not finished is hollow."""
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


def _best(group: Group, monitor: str) -> str:
    """The best value, and the command that gives it again."""
    first = group.finished[0]
    python = f"  python {shlex.quote(first.program)}"
    where = f"--config-dir {shlex.quote(str(first.path))} --config-name config"
    seeds = sorted((seed_of(run) for run in group.finished), key=lambda seed: (len(seed), seed))
    if len(seeds) == 1:
        return (
            f"Best: {monitor} {_number(group.mean)}, seed {seeds[0]}. To run it again:\n"
            f"{python} {where}"
        )
    return (
        f"Best: {monitor} {_number(group.mean)} ± {_number(group.sd)}, seeds {', '.join(seeds)}. "
        "To run them again:\n"
        f"{python} --multirun {where} seed={','.join(seeds)}"
    )


def _unknown(run: RunRecord) -> str:
    quiet = duration(max(0.0, time.time() - last_written(run.path)))
    return (
        f"{run.path} has no end on record. Whether it still runs on {run.host} cannot be seen from "
        f"here; it was last written to {quiet} ago."
    )


@contextlib.contextmanager
def _writing(path: Path) -> Generator[None]:
    """Say which file could not be written."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error


def _write_csv(path: Path, runs: Sequence[RunRecord], keys: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        rest = ["monitor", "best", "final", "step", "state", "seconds", "directory"]
        writer.writerow([*keys, "seed", *rest])
        for run in runs:
            options = [run.options.get(key, "") for key in [*keys, "seed"]]
            values: list[Any] = [run.monitor, run.best, run.final, run.step, run.state]
            writer.writerow([*options, *values, run.seconds, run.path])


def _states(runs: Sequence[RunRecord]) -> str:
    counts: dict[str, int] = {}
    for run in runs:
        counts[run.state] = counts.get(run.state, 0) + 1
    if len(runs) == 1:
        return runs[0].state
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def _time(runs: Sequence[RunRecord]) -> str:
    seconds = [run.seconds for run in runs if math.isfinite(run.seconds)]
    return duration(sum(seconds)) if seconds else "–"


def _value(group: Group) -> str:
    if not group.shown:
        return "–"
    return _number(group.mean) if group.finished else f"({_number(group.mean)})"


def _where(runs: Sequence[RunRecord]) -> str:
    return str(runs[0].path) if len(runs) == 1 else f"{runs[0].path}, …"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4g}"


def _label(keys: Sequence[str], options: Sequence[str]) -> str:
    """What sets a group apart, by the last parts of the keys: "lr=0.001 num_hidden=2"."""
    last = [key.rpartition(".")[2] for key in keys]
    names = [name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True)]
    pairs = zip(names, options, strict=True)
    return " ".join(f"{name}={_short(value)}" for name, value in pairs) or "all runs"


def _short(value: str) -> str:
    """A value with no more digits than one reads; whole numbers have all."""
    try:
        is_long = len(value) > 6 and not value.lstrip("-").isdigit()
        return f"{float(value):.4g}" if is_long else value
    except ValueError:
        return value


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ("  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runwright results", description=_DESCRIPTION)
    parser.add_argument(
        "directories", nargs="+", type=Path, metavar="DIR", help="where to look for runs"
    )
    parser.add_argument("--csv", type=Path, help="write every run to this file as well")
    parser.add_argument("--picture", type=Path, help="draw the runs to this file (PNG, PDF, SVG)")
    return parser
