"""What stages measured with the best weights of a run: `test.json`, `validate.json`."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import attrs

from runwright.rundir.safetensors_header import read_metadata


@attrs.frozen(kw_only=True)
class StageRecord:
    """What one stage measured.

    Attributes:
        path: its file.
        weights: the file with the weights that were measured.
        is_stale: whether that file holds other weights by now.
        values: by measure.
        intervals: 95 % confidence intervals, by measure, of those that have one.
    """

    path: Path
    weights: Path
    is_stale: bool
    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]


def read_stages(run_dir: Path) -> list[StageRecord]:
    """What stages left in a directory, the oldest first."""
    files = sorted(run_dir.glob("*.json"), key=lambda file: file.stat().st_mtime)
    return [record for file in files if (record := _read(file)) is not None]


def _read(file: Path) -> StageRecord | None:
    try:
        loaded: Any = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(loaded, dict):
        return None
    record = cast("dict[str, Any]", loaded)
    intervals: dict[str, Any] = record.pop("intervals", {})
    weights = record.pop("weights", None)
    if not isinstance(weights, str):
        return None
    return StageRecord(
        path=file,
        weights=Path(weights),
        is_stale=_is_stale(file, Path(weights), record.pop("digest", None)),
        values=dict(_numbers(record)),
        intervals=dict(_bounds(intervals)),
    )


def _is_stale(file: Path, weights: Path, digest: str | None) -> bool:
    """Whether the weights were replaced by others after they were measured."""
    moved = file.parent / "checkpoints" / weights.name  # with the run
    now = read_metadata(moved if moved.exists() else weights).get("digest")
    return None not in (now, digest) and now != digest


def _bounds(intervals: Mapping[str, Any]) -> Iterable[tuple[str, tuple[float, float]]]:
    for name, of_measure in intervals.items():
        if isinstance(of_measure, dict):
            bounds = cast("dict[str, float | None]", of_measure)
            low, high = bounds.get("low"), bounds.get("high")
            if low is not None and high is not None:
                yield name, (low, high)


def _numbers(record: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    for name, value in record.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)
