"""Tables that runs have written as CSV, averaged over runs that repeat each other."""

import csv
import math
from collections.abc import Iterator, Sequence

from runwright.comparison.formats import aligned
from runwright.comparison.repetitions import Group, Summary, differing, grouped
from runwright.comparison.run_record import RunRecord
from runwright.comparison.table import mean_and_sd
from runwright.errors import UserError, did_you_mean

_Rows = list[dict[str, str]]


def average_tables(runs: Sequence[RunRecord], over: Sequence[str], name: str) -> str:
    """The table that each run has in its directory, as mean ± sd over those that repeat each other.

    A column is of numbers if all its values are, or are empty; the others tell the rows apart.

    Args:
        runs: the runs.
        over: the options to average over.
        name: the name of the CSV file, e.g. `compare_test.csv`.

    Raises:
        UserError: no run has such a file, or two of them have other columns or rows.
    """
    if not any((run.path / name).is_file() for run in runs):
        there = {file.name for run in runs for file in run.path.glob("*.csv")}
        raise UserError(f"--table {name}: no run has such a file. {did_you_mean(name, there)}")
    parts: list[str] = []
    for group in grouped(runs, differing(runs, over), over):
        having = group.newest(run for run in group.runs if (run.path / name).is_file())
        if having:
            chosen = sorted(having, key=lambda run: [(len(v), v) for v in group.repetition(run)])
            parts.append(
                "\n".join([_title(group, chosen, name), aligned(list(_averaged(chosen, name)))])
            )
        if without := [str(run.path) for run in group.runs if not (run.path / name).is_file()]:
            parts.append(f"Without {name}: {', '.join(without)}.")
    return "\n\n".join(parts)


def _title(group: Group, runs: Sequence[RunRecord], name: str) -> str:
    options = " ".join(f"{key}={value}" for key, value in group.options.items())
    over = f"mean ± sd over {group.listed(runs)}"
    return f"{name}, {over}{options and f'; {options}'}:"


def _averaged(runs: Sequence[RunRecord], name: str) -> Iterator[list[str]]:
    """The header and the rows of the table."""
    tables = [_read(run, name) for run in runs]
    columns = list(tables[0][0]) if tables[0] else []
    texts = [
        column
        for column in columns
        if not all(_is_number(row[column] or "nan") for table in tables for row in table)
    ]
    labels = [[tuple(row[column] for column in texts) for row in table] for table in tables]
    for run, table, mine in zip(runs, tables, labels, strict=True):
        if mine != labels[0] or (table and list(table[0]) != columns):
            raise UserError(
                f"{run.path / name} and {runs[0].path / name} do not have the same rows and "
                "columns, so they cannot be averaged."
            )
    yield columns
    for number, row in enumerate(tables[0]):
        yield [
            row[column]
            if column in texts
            else _shown([float(table[number][column] or "nan") for table in tables])
            for column in columns
        ]


def _read(run: RunRecord, name: str) -> _Rows:
    with (run.path / name).open(newline="") as file:
        return list(csv.DictReader(file))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shown(values: Sequence[float]) -> str:
    """The mean and the standard deviation (n − 1), with as many digits as are known."""
    known = tuple(value for value in values if not math.isnan(value))
    missing = f" (of {len(known)})" if 1 < len(known) < len(values) else ""
    return f"{mean_and_sd(Summary(known))}{missing}"
