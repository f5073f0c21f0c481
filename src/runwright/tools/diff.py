"""`python -m runwright diff`: what differs between two runs."""

import argparse
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from runwright.comparison.formats import aligned
from runwright.comparison.repetitions import above
from runwright.comparison.run_record import RunRecord, find_runs, read_run
from runwright.comparison.table import number
from runwright.errors import UserError

_DESCRIPTION: Final = """\
Show what differs between two runs: their options, their code, packages and machine, and what they
measured with their best weights.
"""
_ABSENT: Final = "–"
_NO_MEASURE: Final = frozenset({"step", "epoch"})
# Of the environment, what differs between any two runs.
_INCIDENTAL: Final = frozenset(
    {"started", "process", "argv", "seconds_before", "environment", "chosen"}
)


def main(argv: list[str]) -> int:
    """Run the command; `argv` is what follows `diff`. Returns the exit status.

    Raises:
        UserError: one of the directories is not that of a run.
    """
    args = _parser().parse_args(argv)
    one, other = (_run(path) for path in (args.run, args.other))
    options, of_members = _options(one.options, other.options)
    sections = {
        "Options": options,
        "Environment": _differences(_environment(one.path), _environment(other.path)),
        "Measures": _measures(one, other),
    }
    header = [str(args.run), str(args.other)]
    for title, rows in sections.items():
        if not rows:
            print(f"{title}: no difference.")
            continue
        more = ["difference"] if title == "Measures" else []
        print(aligned([[title, *header, *more], *rows]))
        if title == "Options":
            for run, own in zip(header, of_members, strict=True):
                if own:
                    print(f"Only {run}: {' '.join(own)}")
        print()
    return 0


def _run(path: Path) -> RunRecord:
    if find_runs([path])[:1] != [path]:
        raise UserError(
            f"{path} is not the directory of a run: it has no config.yaml with an environment.json."
        )
    return read_run(path)


def _differences(one: Mapping[str, str], other: Mapping[str, str]) -> list[list[str]]:
    keys = dict.fromkeys([*one, *other])
    return [
        [key, one.get(key, _ABSENT), other.get(key, _ABSENT)]
        for key in keys
        if one.get(key) != other.get(key)
    ]


def _options(
    one: Mapping[str, str], other: Mapping[str, str]
) -> tuple[list[list[str]], tuple[list[str], list[str]]]:
    """The options that differ; and apart from them, those that only the chosen member has."""
    differing = _differences(one, other)
    chosen = {key for key, *values in differing if _ABSENT not in values}
    rows: list[list[str]] = []
    own: tuple[list[str], list[str]] = ([], [])
    for key, before, after in differing:
        if _ABSENT in (before, after) and chosen.intersection(above(key)):
            own[before == _ABSENT].append(f"{key}={after if before == _ABSENT else before}")
        else:
            rows.append([key, before, after])
    return rows, own


def _environment(run_dir: Path) -> dict[str, str]:
    """The record of where a run was made, by key."""
    try:
        record: dict[str, Any] = json.loads((run_dir / "environment.json").read_text())
    except (OSError, ValueError):
        return {}
    flat = {key: value for key, value in record.items() if key not in _INCIDENTAL}
    packages: dict[str, str] = flat.pop("packages", {})
    return {key: str(value) for key, value in [*flat.items(), *packages.items()]}


def _measures(one: RunRecord, other: RunRecord) -> list[list[str]]:
    """Every measure of both, equal ones too, and the second minus the first."""
    names: Iterable[str] = dict.fromkeys([*one.values, *other.values])
    rows: list[list[str]] = []
    for name in names:
        if name not in _NO_MEASURE:
            before, after = one.value(name), other.value(name)
            change = _ABSENT if math.isnan(after - before) else f"{after - before:+.4g}"
            rows.append([name, number(before), number(after), change])
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runwright diff", description=_DESCRIPTION)
    parser.add_argument("run", type=Path, metavar="RUN", help="the directory of a run")
    parser.add_argument("other", type=Path, metavar="OTHER", help="the directory of another run")
    return parser
