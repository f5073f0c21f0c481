"""The command: its arguments, what it finds, and what it prints."""

import argparse
import contextlib
import csv
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Final

from runwright.comparison.groups import by_monitor, differing
from runwright.comparison.picture import SUFFIXES, draw
from runwright.comparison.run_record import RunRecord, find_runs, read_run
from runwright.comparison.table import report
from runwright.errors import UserError
from runwright.rundir.overwritten import is_marked
from runwright.slurm import submissions
from runwright.tools.results import submitted

_DESCRIPTION: Final = """\
Show every run below the directories in one table: the options that differ, the best and the last
value of the monitored measure, mean and standard deviation over seeds, how each run ended, and how
long it took.
"""


def main(argv: list[str]) -> int:
    """Run the command.

    Args:
        argv: what follows `results` on the command line.

    Returns:
        The exit status.

    Raises:
        UserError: there is no run or job below a directory, or a file cannot be written.
    """
    args = _parser().parse_args(argv)
    if args.picture is not None and args.picture.suffix.lower() not in SUFFIXES:
        raise UserError(f"--picture {args.picture}: must end in one of: {', '.join(SUFFIXES)}.")
    folders: list[Path] = args.directories
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such directory.")
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
    keys = differing(runs)
    for monitor, measured in by_monitor(runs).items():
        print(report(measured, keys, monitor))
    for line in jobs.report(found):
        print(line)
    if len(found) > len(trained):
        print(f"{len(found) - len(trained)} runs that did not train (another stage) are left out.")
    if left := [str(run.path) for run in trained if is_marked(run.path)]:
        print(
            f"Runs of multiruns that were started over with overwrite=true are left out: "
            f"{', '.join(left)}."
        )
    if args.csv is not None:
        with _writing(args.csv):
            _write_csv(args.csv, runs, keys)
        print(f"Every run is in {args.csv}.")
    if args.picture is not None:
        with _writing(args.picture):
            draw(args.picture, runs, keys)
        print(f"The picture is in {args.picture}.")
    return 0


@contextlib.contextmanager
def _writing(path: Path) -> Generator[None]:
    """Name a file that could not be written."""
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runwright results", description=_DESCRIPTION)
    parser.add_argument(
        "directories", nargs="+", type=Path, metavar="DIR", help="where to look for runs"
    )
    parser.add_argument("--csv", type=Path, help="also write every run to this CSV file")
    parser.add_argument(
        "--picture", type=Path, help="also draw the runs to this file (PNG, PDF, SVG)"
    )
    return parser
