"""The record in a run directory, read without building anything."""

import csv
import datetime
import json
import math
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import attrs
import yaml

from runwright.comparison.liveness import state_without_end
from runwright.comparison.stage_record import StageRecord, read_stages
from runwright.plain import shown
from runwright.rundir.changes import read_yaml, recorded_options
from runwright.rundir.safetensors_header import read_metadata

# What a measure is of, if the run did not record whether more of it is better.
_LOWER_IS_BETTER: Final = ("loss", "error", "perplexity", "mse", "rmse", "mae")


@attrs.frozen(kw_only=True)
class RunRecord:
    """One run.

    Attributes:
        path: its directory.
        options: full key → value, for its whole configuration.
        state: finished, pruned, failed, interrupted, running, killed; or unknown: there is no
            recorded end, and it was started on another host. Slurm may know more:
            waiting, cancelled.
        monitor: the measure that decides; None if nothing was measured.
        higher_is_better: whether more of it is better.
        directions: whether more of a measure is better, by its name without that of a split.
        values: what was measured with the best weights, by name: `val_accuracy`, `test_loss`.
        intervals: the 95 % confidence intervals of those that have one.
        best: its best value, NaN without one.
        final: its last value, likewise.
        step: the last step on record.
        started: when its last process was started, in seconds since 1970; 0 if unknown.
        seconds: the time that its processes took; NaN if unknown.
        host: where it was started.
        program: the script that it was started with, as it is called from here.
        error: what a failed run said, or an interrupted one that does not resume by itself.
        code: the version of the code that it ran with; None if not recorded.
        job: Slurm's name for the job that ran it last; None if there was none.
    """

    path: Path
    options: dict[str, str]
    state: str
    monitor: str | None
    higher_is_better: bool
    directions: Mapping[str, bool]
    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    best: float
    final: float
    step: int
    started: float
    seconds: float
    host: str
    program: str
    error: str | None
    code: str | None
    job: str | None

    @property
    def has_finished(self) -> bool:
        """Whether it reached its configured end, so that its value can be compared."""
        return self.state == "finished" and math.isfinite(self.best)

    def value(self, measure: str) -> float:
        """The value of a measure with the best weights; NaN if it was not measured."""
        if measure == self.monitor:
            return self.best
        return self.values.get(measure, math.nan)

    def is_higher_better(self, measure: str) -> bool:
        """Whether more of a measure, `test_accuracy` say, is better."""
        if measure == self.monitor:
            return self.higher_is_better
        known = [name for name in self.directions if f"_{measure}".endswith(f"_{name}")]
        if known:
            return self.directions[max(known, key=len)]
        return not measure.endswith(_LOWER_IS_BETTER)


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
    """Read one run directory; whatever is missing or cut short is left out."""
    result = _json(path / "result.json")
    environment = _json(path / "environment.json")
    options = _options(path / "config.yaml")
    measures = list(_measures(path / "metrics.csv"))
    measured = list(dict.fromkeys(name for row in measures for name in row))
    told = result if "monitor" in result else _progress(path / "checkpoints") | result
    monitor, higher = _monitor(told, options, measured)
    values = [row[monitor] for row in measures if monitor in row and math.isfinite(row[monitor])]
    best = (max if higher else min)(values) if values else math.nan
    step = result.get("step") if "monitor" in result else told.get("best_step")
    at_best = dict(_at_best(measures, step, monitor, best)) | _numbers(result.get("measures"))
    if result.get("value") is not None:
        best = float(result["value"])
    run = RunRecord(
        path=path,
        options=options,
        state=str(result.get("status") or state_without_end(path, environment)),
        monitor=monitor,
        higher_is_better=higher,
        directions=result.get("higher_is_better") or {},
        values=at_best,
        intervals={},
        best=best,
        final=values[-1] if values else math.nan,
        step=int(measures[-1]["step"]) if measures else 0,
        started=_seconds_since_1970(environment.get("started")),
        seconds=float(result.get("seconds", math.nan)),
        host=str(environment.get("host", "an unknown host")),
        program=_program(path / "command.txt", environment),
        error=_error(result),
        code=environment.get("code_version"),
        job=_job(environment),
    )
    return with_stages(run, read_stages(path))


def with_stages(run: RunRecord, stages: Iterable[StageRecord]) -> RunRecord:
    """A run with what stages measured with its weights, those in force."""
    for stage in stages:
        if not stage.is_stale:
            values = {**run.values, **stage.values}
            intervals = {**run.intervals, **stage.intervals}
            run = attrs.evolve(run, values=values, intervals=intervals)
    return run


def _program(command: Path, environment: dict[str, Any]) -> str:
    try:
        python, script, *_ = shlex.split(command.read_text())
    except (OSError, ValueError):
        return "main.py"
    if python != "python":  # it was started from Python
        return "main.py"
    path = Path(environment.get("working_directory", ""), script)
    from_here = os.path.relpath(path)
    return str(path) if from_here.startswith("..") else from_here


def _at_best(
    measures: Sequence[dict[str, float]], step: Any, monitor: str | None, best: float
) -> Iterator[tuple[str, float]]:
    """Everything on record at the step of the best weights, or, of the training, last before it."""
    if step is None:  # the run was killed before its first checkpoint
        step = next((row["step"] for row in measures if row.get(monitor or "") == best), None)
    for row in measures:
        if step is None or row["step"] > step:
            break
        for name, value in row.items():
            if row["step"] == step or name.startswith("train_"):
                yield name, value


def _numbers(recorded: Any) -> dict[str, float]:
    """Those values of a record that are numbers; None is not measured."""
    if not isinstance(recorded, dict):
        return {}
    found = cast("dict[str, Any]", recorded)
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def _error(result: dict[str, Any]) -> str | None:
    """The error at the end of a run; not the signal that interrupted it."""
    error = result.get("error")
    is_signal = str(error).startswith(("SystemExit", "KeyboardInterrupt"))
    return None if error is None or is_signal else str(error)


def _job(environment: dict[str, Any]) -> str | None:
    names: dict[str, str] = environment.get("environment") or {}
    array, task = names.get("SLURM_ARRAY_JOB_ID"), names.get("SLURM_ARRAY_TASK_ID")
    return names.get("SLURM_JOB_ID") if array is None else f"{array}_{task}"


def _options(path: Path) -> dict[str, str]:
    try:
        loaded = read_yaml(path)
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return {}
    if not isinstance(loaded, dict):
        return {}
    found = recorded_options(cast("dict[str, Any]", loaded))
    return {key: value if isinstance(value, str) else shown(value) for key, value in found.items()}


def _measures(path: Path) -> Iterator[dict[str, float]]:
    if not path.exists():
        return
    whole, _, _ = path.read_text().rpartition("\n")  # a row may be half-written
    for row in csv.DictReader(whole.splitlines()):
        yield {name: float(value) for name, value in row.items() if value}


def _progress(checkpoints: Path) -> dict[str, Any]:
    """The progress of a run at its newest checkpoint; empty before the first one."""
    try:
        metadata = read_metadata(checkpoints / "last.state.safetensors")
        return json.loads(metadata["info"])["progress"]
    except (ValueError, KeyError, TypeError):
        return {}


def _monitor(
    told: dict[str, Any], options: dict[str, str], measured: Sequence[str]
) -> tuple[str | None, bool]:
    """The measure that decides, and whether more of it is better.

    If a run has recorded it neither at its end nor in a checkpoint: the configured one, or the
    usual. The training loss is measured before the first validation, and decides only if there is
    none.
    """
    asked = options.get("training.monitor", "null")
    of_validation = [name for name in measured if name.startswith("val_") and name != "val_loss"]
    usual = [*of_validation, *(name for name in measured if name == "val_loss")]
    guessed = asked if asked != "null" else next(iter(usual), None)
    monitor: str | None = told.get("monitor") or guessed
    mode = told.get("monitor_mode") or options.get("training.monitor_mode")
    if mode in ("max", "min"):
        return monitor, mode == "max"
    return monitor, not (monitor or "").endswith(_LOWER_IS_BETTER)


def _seconds_since_1970(time: Any) -> float:
    try:
        return datetime.datetime.fromisoformat(time).timestamp()
    except (TypeError, ValueError):
        return 0.0


def _json(path: Path) -> dict[str, Any]:
    try:
        loaded: Any = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", loaded) if isinstance(loaded, dict) else {}


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Sorts 10 after 9."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in path.parts]
