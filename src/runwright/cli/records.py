"""What run directories have on record, read without building anything."""

import csv
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, cast

import attrs
import yaml
from filelock import FileLock, Timeout

from runwright import schema

_LOWER_IS_BETTER: Final = ("loss", "error", "perplexity")


@attrs.frozen(kw_only=True)
class RunRecord:
    """One run.

    Attributes:
        path: its directory.
        options: full key → value, of all of its configuration.
        state: finished, pruned, failed, interrupted, running, or killed.
        monitor: the measure that decides; None when nothing was measured.
        higher_is_better: whether more of it is better.
        best: its best value, NaN without one.
        final: its last value, likewise.
        step: the last step on record.
        seconds: the time that the last process took, NaN when it is not known.
        error: what a failed run said.
    """

    path: Path
    options: dict[str, str]
    state: str
    monitor: str | None
    higher_is_better: bool
    best: float
    final: float
    step: int
    seconds: float
    error: str | None


def find_runs(folders: Iterable[Path]) -> list[Path]:
    """The run directories at or below these folders, in the order of their names."""
    found: set[Path] = set()
    for folder in folders:
        found.update(
            path.parent
            for path in folder.rglob("config.yaml")
            if (path.parent / "environment.json").exists()
        )
    return sorted(found, key=_natural)


def read_run(path: Path) -> RunRecord:
    """Read one run directory; what is missing or cut short is left out."""
    result = _json(path / "result.json")
    measures = list(_measures(path / "metrics.csv"))
    columns = measures[-1].keys() if measures else ()
    monitor: str | None = result.get("monitor") or _usual_monitor(columns)
    mode: str | None = result.get("monitor_mode")
    higher = not (monitor or "").endswith(_LOWER_IS_BETTER) if mode is None else mode == "max"
    values = [row[monitor] for row in measures if monitor in row and math.isfinite(row[monitor])]
    best = (max if higher else min)(values) if values else math.nan
    if result.get("value") is not None:
        best = float(result["value"])
    return RunRecord(
        path=path,
        options=_options(path / "config.yaml"),
        state=_state(path, result),
        monitor=monitor,
        higher_is_better=higher,
        best=best,
        final=values[-1] if values else math.nan,
        step=int(measures[-1]["step"]) if measures else 0,
        seconds=float(result.get("seconds", math.nan)),
        error=result.get("error"),
    )


def _state(path: Path, result: dict[str, Any]) -> str:
    """How the run ended, or whether it is still under way: then it holds its lock."""
    lock = FileLock(path / ".lock", blocking=False)
    try:
        with lock:
            pass
    except (Timeout, OSError):
        return "running"
    return str(result.get("status", "killed"))


def _options(path: Path) -> dict[str, str]:
    try:
        loaded: Any = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return {}
    if not isinstance(loaded, dict):
        return {}
    values = cast("dict[str, Any]", loaded)
    chosen: dict[str, Any] = {}
    for entry in values.pop("defaults", []):
        if isinstance(entry, dict):
            for group, name in cast("dict[str, Any]", entry).items():
                chosen[group.removeprefix("override ")] = name
    return {key: str(value) for key, value in [*chosen.items(), *schema.leaves(values)]}


def _measures(path: Path) -> Iterator[dict[str, float]]:
    if not path.exists():
        return
    whole, _, _ = path.read_text().rpartition("\n")  # a row may be half-written
    for row in csv.DictReader(whole.splitlines()):
        yield {name: float(value) for name, value in row.items() if value}


def _usual_monitor(columns: Iterable[str]) -> str | None:
    """What probably decides in a run that has not said so yet."""
    names = list(columns)
    validated = [name for name in names if name.startswith("val_") and name != "val_loss"]
    return next(iter([*validated, *(n for n in ("val_loss", "train_loss") if n in names)]), None)


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Sorts 10 behind 9."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in path.parts]
