"""How a training ended, and `result.json`, which says so."""

import json
import math
from pathlib import Path
from typing import Any, Final

import attrs

from runwright.storage.atomic_files import write_bytes

RESULT: Final = "result.json"


@attrs.frozen(kw_only=True)
class FitResult:
    """How a training ended.

    Attributes:
        monitor: the measure that decided which weights are best.
        value: its value at the best validation.
        step: the step of the best validation.
        steps: the steps done.
        measures: everything that was measured at that step.
        higher_is_better: whether more of the monitored measure is better.
        pruned: whether the training was ended because other trials do better.
        is_last: whether it is that of the last validation, and no measure decided.
    """

    monitor: str
    value: float
    step: int
    steps: int
    measures: dict[str, float]
    higher_is_better: bool
    pruned: bool
    is_last: bool = False

    def __str__(self) -> str:
        which = "Last" if self.is_last else "Best"
        return f"{which} {self.monitor}: {self.value:.4f}, at step {self.step} of {self.steps}."

    @property
    def status(self) -> str:
        """The recorded state of a run that ended like this."""
        return "pruned" if self.pruned else "finished"

    @property
    def recorded(self) -> dict[str, Any]:
        """What `result.json` holds of it; JSON has no NaN."""
        return {
            "monitor": self.monitor,
            "monitor_mode": "max" if self.higher_is_better else "min",
            "is_last": self.is_last,
            "value": _or_none(self.value),
            "step": self.step,
            "steps": self.steps,
            "measures": {name: _or_none(value) for name, value in self.measures.items()},
        }


def write_result(run_dir: Path, status: str, *, stage: str, seconds: float, **rest: Any) -> None:
    """Record how a run ended."""
    record = {"status": status, "stage": stage, "seconds": round(seconds, 3), **rest}
    write_bytes(run_dir / RESULT, (json.dumps(record, indent=2) + "\n").encode())


def read_result(run_dir: Path) -> FitResult | None:
    """How the recorded training ended; None unless it finished."""
    try:
        record: dict[str, Any] = json.loads((run_dir / RESULT).read_text())
        if record["status"] not in ("finished", "pruned"):
            return None
        return FitResult(
            monitor=record["monitor"],
            value=_or_nan(record["value"]),
            step=record["step"],
            steps=record["steps"],
            measures={name: _or_nan(value) for name, value in record["measures"].items()},
            higher_is_better=record["monitor_mode"] == "max",
            pruned=record["status"] == "pruned",
            is_last=record.get("is_last", False),
        )
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or not one of ours
        return None


def record_stage(run_dir: Path, name: str) -> None:
    """Record that a stage has followed the training of a run."""
    record: dict[str, Any] = json.loads((run_dir / RESULT).read_text())
    done = [*record.get("then", []), name]
    write_bytes(run_dir / RESULT, (json.dumps({**record, "then": done}, indent=2) + "\n").encode())


def read_stages(run_dir: Path) -> list[str]:
    """The stages that have followed the training of a run."""
    try:
        return json.loads((run_dir / RESULT).read_text()).get("then", [])
    except (OSError, ValueError, AttributeError):  # none yet, or not one of ours
        return []


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
