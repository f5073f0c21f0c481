"""Which jobs of a multirun need not run, because their runs have finished."""

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from runwright.config import Config
from runwright.errors import UserError
from runwright.rundir.changes import changes
from runwright.rundir.checkpoint import Checkpoints


def run_dir_of(composed: DictConfig) -> Path | None:
    """Where a composed job writes; None if only the running job knows."""
    try:
        return Path(str(composed.hydra.sweep.dir), str(composed.hydra.sweep.subdir))
    except OmegaConfBaseException:
        return None


def finished_value(run_dir: Path, config: Config) -> float | None:
    """What the run in a directory came to; None unless this very run has finished there."""
    try:
        record: dict[str, Any] = json.loads((run_dir / "result.json").read_text())
        if record["status"] not in ("finished", "pruned"):
            return None
        value = float("nan") if record["value"] is None else float(record["value"])
        if not config.stage.trains or config.overwrite or changes(run_dir / "config.yaml", config):
            return None
    except (OSError, ValueError, KeyError, TypeError, UserError):
        return None  # not one of ours, or the job itself will report what is wrong with it
    checkpoints = Checkpoints(run_dir / "checkpoints", config.checkpoint)
    are_drawn = (run_dir / "pictures" / "learning_curves.png").exists()
    has_weights = checkpoints.exist() or checkpoints.best.exists()
    return value if has_weights and (are_drawn or not config.pictures) else None
