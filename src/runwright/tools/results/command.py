"""The command: its arguments, what it finds, and what it prints."""

import argparse
import contextlib
import csv
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Final

from runwright.comparison.averaged_tables import average_tables
from runwright.comparison.formats import FORMATS, terminal_width
from runwright.comparison.picture import SUFFIXES, draw, draw_curves
from runwright.comparison.repetitions import SEED, differing
from runwright.comparison.report import Comparison, reports
from runwright.comparison.run_record import RunRecord, find_runs, read_run, with_stages
from runwright.comparison.stage_record import StageRecord, read_stages
from runwright.errors import UserError, did_you_mean
from runwright.rundir.overwritten import is_marked
from runwright.slurm import submissions
from runwright.tools.results import submitted

_DESCRIPTION: Final = """\
Show every run below the directories in one table: the options that differ, the best and the last
value of the monitored measure, mean and standard deviation over seeds, how each run ended, and how
long it took. What `stage=test` and `stage=validate` measured with the weights of a run counts as
the run's own.
"""


def main(argv: list[str]) -> int:
    """Run the command.

    Args:
        argv: what follows `results` on the command line.

    Returns:
        The exit status.

    Raises:
        UserError: there is no run or job below a directory, no such measure or option, or a file
            cannot be written.
    """
    args = _parser().parse_args(argv)
    folders: list[Path] = args.directories
    _check_paths(args)
    found = [read_run(path) for path in find_runs(folders)]
    jobs = submitted.ask(submissions.recorded(folders), found)
    trained = [run for run in found if run.options.get("stage", "fit") == "fit"]
    runs = jobs.with_slurm_states(run for run in trained if not is_marked(run.path))
    if not runs and not jobs.without_run(found):
        listed = ", ".join(map(str, folders))
        raise UserError(
            f"There is no run directory in or below {listed}: none with the config.yaml of a "
            "training and an environment.json."
        )
    others = [run for run in found if run.options.get("stage", "fit") != "fit"]
    runs, left_out = _with_measured(runs, [one for run in others for one in read_stages(run.path)])
    comparison = _comparison(args, runs)
    # What is said about a table for a paper does not go into its file.
    say = print if comparison.table_format == "text" else _to_stderr
    for number, report in enumerate(reports(runs, comparison)):
        if number:
            print()
        if report.title:
            say(f"{report.title}:")
        print(report.table)
        for line in report.notes:
            say(line)
    for line in [*jobs.report(found), *left_out, *_stale(runs), *_started_over(trained)]:
        say(line)
    if args.table is not None:
        say(f"\n{average_tables(runs, comparison.averaged_over(runs), args.table)}")
    _write_files(args, runs, comparison, say)
    return 0


def _check_paths(args: argparse.Namespace) -> None:
    for flag in ("picture", "curves"):
        given: Path | None = getattr(args, flag)
        if given is not None and given.suffix.lower() not in SUFFIXES:
            raise UserError(f"--{flag} {given}: must end in one of: {', '.join(SUFFIXES)}.")
    folders: list[Path] = args.directories
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such directory.")


def _write_files(
    args: argparse.Namespace,
    runs: Sequence[RunRecord],
    comparison: Comparison,
    say: Callable[[str], None],
) -> None:
    if args.csv is not None:
        with _writing(args.csv):
            _write_csv(args.csv, runs, comparison)
        say(f"Every run is in {args.csv}.")
    for file, drawing in ((args.picture, draw), (args.curves, draw_curves)):
        if file is not None:
            with _writing(file):
                drawing(file, runs, comparison)
            say(f"The picture is in {file}.")


def _started_over(trained: Sequence[RunRecord]) -> list[str]:
    left = [str(run.path) for run in trained if is_marked(run.path)]
    if not left:
        return []
    listed = ", ".join(left)
    return [f"Runs of multiruns that were started over with overwrite=true are left out: {listed}."]


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


def _with_measured(
    runs: Sequence[RunRecord], stages: Sequence[StageRecord]
) -> tuple[list[RunRecord], list[str]]:
    """The runs with what was measured with their weights in other directories."""
    by_run: dict[Path, list[StageRecord]] = {}
    for stage in sorted(stages, key=lambda stage: stage.path.stat().st_mtime):
        by_run.setdefault(stage.weights.resolve().parent.parent, []).append(stage)
    known = {run.path.resolve(): run for run in runs}
    unknown = [one for path, of_run in by_run.items() if path not in known for one in of_run]
    notes = [
        f"{one.path} is left out: it measured {one.weights}, of none of these runs."
        for one in unknown
    ]
    return [with_stages(run, by_run.get(run.path.resolve(), [])) for run in runs], notes


def _stale(runs: Sequence[RunRecord]) -> list[str]:
    return [
        f"{stage.path} is left out: the weights that it measured have been replaced since."
        for run in runs
        for stage in read_stages(run.path)
        if stage.is_stale
    ]


def _comparison(args: argparse.Namespace, runs: Sequence[RunRecord]) -> Comparison:
    """How to compare, from the arguments.

    Raises:
        UserError: no run has such a measure or option.
    """
    measures = {name for run in runs for name in (*run.values, *filter(None, [run.monitor]))}
    measures = {name for name in measures if not name.startswith("lr") and name not in _NO_MEASURE}
    options = {key for run in runs for key in run.options}

    def known(flag: str, names: Sequence[str], among: set[str], what: str) -> tuple[str, ...]:
        for name in names:
            if runs and name not in among:
                raise UserError(
                    f"--{flag} {name}: none of these runs has such {what}. "
                    + (did_you_mean(name, sorted(among)) or "Nothing was measured.")
                )
        return tuple(names)

    order: str | None = args.sort
    if order is not None:
        known("sort", [order], measures | options, "a measure or option")
    best_by: str | None = args.best_by
    if best_by is not None:
        known("best-by", [best_by], measures, "a measure")
    return Comparison(
        measures=known("measures", args.measures, measures, "a measure"),
        over=known("mean-over", args.mean_over, options, "an option"),
        best_by=best_by,
        order=order,
        table_per=known("table-per", args.table_per, options, "an option"),
        intervals=args.intervals,
        table_format=args.format,
        width=terminal_width(),
    )


_NO_MEASURE: Final = frozenset({"step", "epoch"})


@contextlib.contextmanager
def _writing(path: Path) -> Generator[None]:
    """Name a file that could not be written."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error


def _write_csv(path: Path, runs: Sequence[RunRecord], comparison: Comparison) -> None:
    over = comparison.averaged_over(runs)
    keys = [*differing(runs, over), *over]
    measures = sorted({name for run in runs for name in run.values} - _NO_MEASURE)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        rest = ["monitor", "best", "final", "step", "state", "seconds", "directory"]
        writer.writerow([*keys, *rest, *measures])
        for run in runs:
            options = [run.options.get(key, "") for key in keys]
            values: list[Any] = [run.monitor, run.best, run.final, run.step, run.state]
            measured = [run.values.get(name, "") for name in measures]
            writer.writerow([*options, *values, run.seconds, run.path, *measured])


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runwright results", description=_DESCRIPTION)
    parser.add_argument(
        "directories", nargs="+", type=Path, metavar="DIR", help="where to look for runs"
    )
    parser.add_argument(
        "--measures",
        type=_names,
        default=[],
        metavar="NAME,…",
        help="what to show, such as test_accuracy,val_loss: the values with the best weights; "
        "by default the monitored measure",
    )
    parser.add_argument(
        "--mean-over",
        type=_names,
        default=[SEED],
        metavar="KEY,…",
        help="options to average over (default: seed); options called fold always are",
    )
    parser.add_argument(
        "--best-by",
        metavar="NAME",
        help="the measure that decides which is best; by default the monitored one",
    )
    parser.add_argument(
        "--sort", metavar="NAME", help="an option or measure to sort rows by; by default the best"
    )
    parser.add_argument(
        "--table-per",
        type=_names,
        default=["dm"],
        metavar="KEY,…",
        help="options whose values get tables of their own (default: dm)",
    )
    parser.add_argument(
        "--intervals",
        action="store_true",
        help="show 95 %% confidence intervals: of means by Student's t, of single runs those that "
        "stage=test measured",
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="text", help="what the table is printed as"
    )
    parser.add_argument(
        "--table",
        metavar="NAME.csv",
        help="also average this table, which a stage has written in each run, as runs are",
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="also write every run, with every measure"
    )
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="also draw the values (PNG, PDF, SVG)"
    )
    parser.add_argument(
        "--curves", type=Path, metavar="FILE", help="also draw the measures over the steps"
    )
    return parser
