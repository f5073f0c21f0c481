"""`python -m runwright check`: compose and build everything that can be chosen, without data."""

import argparse
import os
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, cast

import attrs

from runwright.dims import Dims
from runwright.domains import NOT_LOADED
from runwright.tools.check.cases import Composed
from runwright.tools.check.compositions import Compositions
from runwright.tools.check.findings import Findings, listed
from runwright.tools.check.pairs import Builder, Built, Described, members
from runwright.tools.check.sizes import Misfit, Outcome, Size, Unmeasured
from runwright.tools.project import Project, add_arguments, open_project

_DESCRIPTION = """\
Compose every file in conf/ and every registered factory; build every allowed pair of model and data
from shapes alone, without reading data or allocating memory; report everything that is wrong at
once.
"""
_OVERRIDES = """\
overrides as for a run, e.g. seed=1 or opt.lr=0.01; each applies wherever that option
exists
"""

_SHOWN: Final = 4
_WIDTH: Final = 100


def main(argv: list[str]) -> int:
    """Run the command.

    Args:
        argv: what follows `check` on the command line.

    Returns:
        The exit status: 2 if there is a fault.

    Raises:
        UserError: an argument is wrong, or an override breaks the default.
    """
    started = time.perf_counter()
    args = _parser().parse_intermixed_args(argv)
    project = open_project(args)
    findings = Findings()
    for sentence in NOT_LOADED.values():
        findings.note(sentence)
    compositions = Compositions(project, args.overrides, findings)
    compositions.compose_all()
    composed = compositions.composed
    print(_summary(project, composed))
    print(_item("", project.factories))
    pairs = _build(composed, findings) if composed else []
    _note_stale_schemas(project, findings)
    if findings.notes:
        print("\nNotes")
        for note in findings.notes:
            print(_item("- ", note))
    sys.stdout.flush()
    seconds = f"{time.perf_counter() - started:.1f} s"
    if faults := findings.fault_texts():
        print(f"\n{_count(len(faults), 'fault')} ({seconds}):", file=sys.stderr)
        for number, fault in enumerate(faults, start=1):
            print(_item(f"{number}. ", fault), file=sys.stderr)
        return 2
    num_fit = sum(isinstance(pair.outcome, Size) for pair in pairs)
    print(
        f"\nNo faults: {_count(len(composed), 'composition')}, {num_fit} of "
        f"{_count(len(pairs), 'pair')} of model and data built ({seconds})."
    )
    return 0


def _build(composed: list[Composed], findings: Findings) -> list[Built]:
    """Build everything and print the sizes; returns the pairs of model and data."""
    workshop = Builder(findings=findings)
    experiments: list[Built] = []
    for one in composed:
        if one.case.group in ("dm", "objective"):
            workshop.objective(one)
        elif (one.case.is_whole and not one.case.group.startswith("hydra/")) or (
            one.case.group == "opt" and one.config.opt != composed[0].config.opt
        ):
            built = workshop.whole(one)
            if built is not None and one is not composed[0]:
                experiments.append(built)
    data = {name: workshop.dims(o.config) for name, o in members(composed, "dm").items()}
    width = max(map(len, data), default=0)
    print("\nData")
    for name, described in data.items():
        print(_item(f"  {name.ljust(width)}  ", _described(described)))
    pairs = workshop.pairs(composed)
    _print_sizes(("Model", "Data"), [((pair.model, pair.data), pair.outcome) for pair in pairs])
    _print_sizes(
        ("Experiment", "Model", "Data"),
        [((one.name, one.model, one.data), one.outcome) for one in experiments],
    )
    optimiser = composed[0].config.opt.described.removesuffix("()")
    training = f"weights, gradients and the state of {optimiser}; activations come on top."
    print(_item("\nTraining: ", training))
    _print_misfits(pairs)
    return pairs


def _summary(project: Project, composed: Sequence[Composed]) -> str:
    if not composed:
        return "Nothing composes."
    counts = Counter(one.case.group or "primary" for one in composed)
    listed_counts = ", ".join(f"{count} {group}" for group, count in counts.items())
    where = "no conf/" if project.conf is None else os.path.relpath(project.conf)
    return _item(f"{where}: ", f"{_count(len(composed), 'composition')} ({listed_counts}).")


def _described(described: Described) -> str:
    if described is None:
        return "known only from the data"
    if isinstance(described, Dims):
        values = attrs.asdict(described, recurse=False)
        return ", ".join(f"{name} {_short(value)}" for name, value in values.items())
    return described.reason


def _short(value: object) -> str:
    """A value, abbreviated if it is a long tuple: data may have a hundred groups."""
    if not isinstance(value, tuple):
        return str(value)
    row = cast("tuple[object, ...]", value)
    if len(row) <= _SHOWN:
        return str(row)
    first = ", ".join(repr(one) for one in row[: _SHOWN - 1])
    return f"({first}, … {len(row)} in all)"


def _print_sizes(
    names: tuple[str, ...], outcomes: Sequence[tuple[tuple[str, ...], Outcome]]
) -> None:
    sizes = [(cells, outcome) for cells, outcome in outcomes if isinstance(outcome, Size)]
    if not sizes:
        return
    has_frozen = any(size.trainable != size.parameters for _, size in sizes)
    table = [[*names, "Parameters", *["Trainable"] * has_frozen, "Weights", "Training"]]
    for cells, size in sizes:
        trainable = [f"{size.trainable:,}"] * has_frozen
        training = "?" if size.training is None else _bytes(size.training)
        numbers = [f"{size.parameters:,}", *trainable, _bytes(size.weights), training]
        table.append([*cells, *numbers])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    print()
    for row in table:
        left = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)][: len(names)]
        right = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)][len(names) :]
        print("  ".join([*left, *right]))


def _print_misfits(pairs: Sequence[Built]) -> None:
    """Print the pairs that were not built, those with the same reason together."""
    for title, kind in (("Does not fit", Misfit), ("Not built", Unmeasured)):
        by_reason: dict[tuple[str, str], list[str]] = {}
        for pair in pairs:
            if isinstance(pair.outcome, kind):
                by_reason.setdefault((pair.model, pair.outcome.reason), []).append(pair.data)
        if by_reason:
            print(f"\n{title}")
        for (model, reason), data in by_reason.items():
            print(_item("- ", f"{model} with {listed(data)}: {reason}"))


def _note_stale_schemas(project: Project, findings: Findings) -> None:
    """Add a note if the schemas that editors read are out of date."""
    from runwright.tools import schema

    if schema.is_out_of_date(project):
        findings.note(
            ".vscode/schemas is out of date: run `python -m runwright schema`, so that editors "
            "know the current options."
        )


def _item(mark: str, text: str) -> str:
    """Text after a mark, wrapped and indented to line up with it."""
    indent = " " * len(mark.lstrip("\n"))
    lines = [
        textwrap.fill(
            line,
            width=_WIDTH - len(indent),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.splitlines()
    ]
    return mark + textwrap.indent("\n".join(lines), indent).lstrip()


def _bytes(number: int) -> str:
    size = float(number)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1000 or unit == "TiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.3g} {unit}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runwright check", description=_DESCRIPTION)
    parser.add_argument("overrides", nargs="*", metavar="override", help=_OVERRIDES)
    add_arguments(parser)
    return parser
