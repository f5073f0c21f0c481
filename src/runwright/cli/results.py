"""`python -m runwright results`: every run below some directories as one table."""

import argparse
import csv
import math
import shlex
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from runwright.cli.records import RunRecord, find_runs, read_run
from runwright.errors import UserError
from runwright.logging import duration
from runwright.pictures import new_figure, save_figure

_DESCRIPTION: Final = """\
Show every run below the directories as one table: what differed between them, the best value of
the measure that decides and the last one, mean and standard deviation over seeds, how each ended,
and the time.
"""
# Where a run is made or how it is logged is not what one compares.
_NOT_COMPARED: Final = ("wandb.", "checkpoint.", "gpu", "pictures", "tensorboard", "stage", "seed")


@attrs.frozen(kw_only=True)
class Group:
    """Runs that differ in nothing but their seed.

    Attributes:
        options: what sets them apart from the others: key → value.
        runs: the runs.
    """

    options: tuple[str, ...]
    runs: list[RunRecord]

    @property
    def values(self) -> list[float]:
        """The best values of the runs that came to their end."""
        ended = [r.best for r in self.runs if r.state in {"finished", "pruned"}]
        return [value for value in ended if math.isfinite(value)]

    @property
    def mean(self) -> float:
        """Their mean, NaN without any."""
        return statistics.fmean(self.values) if self.values else math.nan

    @property
    def sd(self) -> float:
        """Their standard deviation (n − 1), NaN when there are fewer than two."""
        return statistics.stdev(self.values) if len(self.values) > 1 else math.nan


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
    folders: list[Path] = args.directories
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such directory.")
    runs = [read_run(path) for path in find_runs(folders)]
    if not runs:
        listed = ", ".join(map(str, folders))
        raise UserError(
            f"There is no run directory in or below {listed}: none that has a config.yaml and an "
            "environment.json."
        )
    keys = differing(runs)
    for monitor in sorted({run.monitor or "" for run in runs}):
        measured = [run for run in runs if (run.monitor or "") == monitor]
        print(report(measured, keys, monitor))
    if args.csv is not None:
        _write_csv(args.csv, runs, keys)
        print(f"Every run is in {args.csv}.")
    if args.picture is not None:
        draw(args.picture, runs, keys)
        print(f"The picture is in {args.picture}.")
    return 0


def differing(runs: Sequence[RunRecord]) -> list[str]:
    """The options that are not the same in all runs, without those that nobody compares."""
    keys = dict.fromkeys(key for run in runs for key in run.options)
    return [
        key
        for key in keys
        if not key.startswith(_NOT_COMPARED) and len({run.options.get(key) for run in runs}) > 1
    ]


def grouped(runs: Iterable[RunRecord], keys: Sequence[str]) -> list[Group]:
    """Runs side by side that differ in their seed only, the best first."""
    groups: dict[tuple[str, ...], list[RunRecord]] = {}
    for run in runs:
        groups.setdefault(tuple(run.options.get(key, "–") for key in keys), []).append(run)
    found = [Group(options=options, runs=members) for options, members in groups.items()]

    def rank(group: Group) -> tuple[bool, float]:
        sign = -1 if group.runs[0].higher_is_better else 1
        return math.isnan(group.mean), sign * group.mean if group.values else 0.0

    return sorted(found, key=rank)


def report(runs: Sequence[RunRecord], keys: Sequence[str], monitor: str) -> str:
    """The table of runs with the same measure, and the command that reruns the best one."""
    groups = grouped(runs, keys)
    has_seeds = any(len(group.runs) > 1 for group in groups)
    header = [*keys, monitor or "(nothing was measured)"]
    header += ["sd", "runs"] if has_seeds else ["last", "step"]
    rows: list[list[str]] = []
    for group in groups:
        row = [*map(_short, group.options), _number(group.mean)]
        if has_seeds:
            row += [_number(group.sd), str(len(group.runs))]
        else:
            row += [_number(group.runs[0].final), str(group.runs[0].step)]
        rows.append([*row, _states(group.runs), _time(group.runs), _where(group.runs)])
    lines = [_aligned([[*header, "state", "time", "directory"], *rows])]
    ended = [r for r in runs if r.state in {"finished", "pruned"} and math.isfinite(r.best)]
    if ended:
        better = max if ended[0].higher_is_better else min
        best = better(ended, key=lambda run: run.best)
        lines.append(
            f"Best: {monitor} {_number(best.best)}, seed {best.options.get('seed', '?')}. "
            "To run it again:\n"
            f"  python main.py --config-dir {shlex.quote(str(best.path))} --config-name config"
        )
    lines += [f"{run.path} {run.state}: {run.error}" for run in runs if run.error is not None]
    return "\n".join(lines)


def draw(path: Path, runs: Sequence[RunRecord], keys: Sequence[str]) -> None:
    """Draw every run's value, and the mean ± sd of those that differ in their seed only."""
    groups = [g for g in grouped([r for r in runs if r.monitor is not None], keys) if g.values]
    if not groups:
        raise UserError("No run came to its end, so there is nothing to draw.")
    names = [_label(keys, group.options) for group in groups]
    figure = new_figure(5.0 + 0.075 * max(map(len, names)), 1.0 + 0.3 * len(groups))
    axes = figure.add_subplot()
    for height, group in enumerate(reversed(groups)):
        axes.plot(group.values, [height] * len(group.values), "o", color="C0", alpha=0.5)
        if len(group.values) > 1:
            axes.errorbar(group.mean, height, xerr=group.sd, fmt="|", color="C1", capsize=3)
    axes.set_yticks(range(len(groups)), names[::-1])
    has_seeds = any(len(group.values) > 1 for group in groups)
    measure = groups[0].runs[0].monitor
    axes.set_xlabel(f"{measure}, with mean ± sd over seeds" if has_seeds else str(measure))
    axes.grid(axis="x", alpha=0.3)
    save_figure(figure, path)


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


def _where(runs: Sequence[RunRecord]) -> str:
    return str(runs[0].path) if len(runs) == 1 else f"{runs[0].path}, …"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4g}"


def _label(keys: Sequence[str], options: Sequence[str]) -> str:
    """What sets a group apart, by the last parts of the keys: "lr=0.001 num_hidden=2"."""
    pairs = zip(keys, options, strict=True)
    return " ".join(f"{key.split('.')[-1]}={_short(v)}" for key, v in pairs) or "all runs"


def _short(value: str) -> str:
    """A value with no more digits than one reads."""
    try:
        return value if len(value) <= 6 else f"{float(value):.4g}"
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
