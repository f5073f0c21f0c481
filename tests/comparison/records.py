"""Records of runs to compare, without the runs."""

import math
from pathlib import Path
from typing import Any

from runwright.comparison.run_record import RunRecord

_DEFAULTS: dict[str, Any] = {
    "state": "finished",
    "monitor": "val_accuracy",
    "higher_is_better": True,
    "directions": {"loss": False, "accuracy": True, "regret": False},
    "intervals": {},
    "final": math.nan,
    "step": 10,
    "started": 0.0,
    "seconds": 1.0,
    "host": "here",
    "program": "main.py",
    "error": None,
    "code": None,
    "job": None,
}


def record(path: str, options: dict[str, str], values: dict[str, float], **rest: Any) -> RunRecord:
    """A run that finished with these options and values, unless the rest says otherwise."""
    known = {"dm": "toy", "seed": "1"} | options
    best = values.get("val_accuracy", math.nan)
    fields: dict[str, Any] = {"path": Path(path), "options": known, "values": values, "best": best}
    return RunRecord(**(_DEFAULTS | fields | rest))
