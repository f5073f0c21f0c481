"""The table of runs with the same measure, and the command that reruns the best ones."""

import math
import shlex
import time
from collections.abc import Sequence
from typing import Final

from runwright.comparison.groups import Group, grouped, seed_of
from runwright.comparison.liveness import last_written
from runwright.comparison.run_record import RunRecord
from runwright.training.run_log import duration

_NO_END: Final = (
    "In brackets: the best so far of runs that have not finished. It is left out of means "
    "and comparisons."
)


def report(runs: Sequence[RunRecord], keys: Sequence[str], monitor: str) -> str:
    """The table of runs with the same measure, and the command that reruns the best ones."""
    groups = grouped(runs, keys)
    has_seeds = any(len(group.runs) > 1 for group in groups)
    header = [*keys, monitor or "(nothing was measured)"]
    header += ["sd", "runs"] if has_seeds else ["last", "step"]
    rows: list[list[str]] = []
    for group in groups:
        row = [*map(short, group.options), _value(group)]
        if has_seeds:
            row += [_number(group.sd), str(len(group.shown))]
        else:
            row += [_number(group.runs[0].final), str(group.runs[0].step)]
        rows.append([*row, _states(group.runs), _time(group.runs), _where(group.runs)])
    lines = [aligned([[*header, "state", "time", "directory"], *rows])]
    if any(group.shown and not group.finished for group in groups):
        lines.append(_NO_END)
    lines += [line for group in groups for line in group.repeated_seed_notes]
    if groups[0].finished:
        lines.append(_best(groups[0], monitor))
    lines += [_unknown(run) for run in runs if run.state == "unknown"]
    lines += [f"{run.path} {run.state}: {run.error}" for run in runs if run.error is not None]
    return "\n".join(lines)


def _best(group: Group, monitor: str) -> str:
    """The best value, and the command that reproduces it."""
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
        f"{run.path} has no recorded end. Whether it still runs on {run.host} cannot be seen from "
        f"here; it was last written to {quiet} ago."
    )


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


def short(value: str) -> str:
    """A value with a readable number of digits; integers keep all of theirs."""
    try:
        is_long = len(value) > 6 and not value.lstrip("-").isdigit()
        return f"{float(value):.4g}" if is_long else value
    except ValueError:
        return value


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """The rows as lines, every column as wide as its widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ("  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
