"""Continuing from a checkpoint of another run, in a directory of its own: the other stays whole."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from runwright.atomic_files import write_bytes
from runwright.config import CheckpointCfg, Config
from runwright.errors import UserError
from runwright.kept import KEPT
from runwright.rundir.changes import changes, is_record
from runwright.rundir.checkpoint import (
    STATE_SUFFIX,
    WEIGHTS_SUFFIX,
    Checkpoint,
    Checkpoints,
    best_names,
    read_pair,
    step_names,
)
from runwright.rundir.tensor_files import DamagedCheckpointError

log = logging.getLogger(__name__)


def check_origin(origin: Path, run_dir: Path, named: str) -> None:
    """Check, before the data are read, that there is a checkpoint, and of another run.

    Args:
        origin: `checkpoint.resume_from`.
        run_dir: the directory of the run.
        named: the option that says which one it is.

    Raises:
        UserError: it is not so.
    """
    if origin.resolve().is_relative_to(run_dir.resolve()):
        raise UserError(
            f"checkpoint.resume_from={origin} is of this run, which goes on from its newest "
            f"checkpoint. To go back, take another {named}: what came after stays here."
        )
    if not Checkpoints(run_dir / "checkpoints", CheckpointCfg()).exist():  # else it has begun
        find_checkpoint(origin)


def take_over_kept(origin: Path, run_dir: Path) -> None:
    """Read data as the run of a checkpoint did, before they are read: its weights expect it."""
    home = origin if origin.is_dir() else origin.parent
    kept = (home.parent if home.name == "checkpoints" else home) / KEPT
    for file in kept.glob("*.json"):
        if not (run_dir / KEPT / file.name).exists():
            write_bytes(run_dir / KEPT / file.name, file.read_bytes())


def find_checkpoint(origin: Path) -> Checkpoint:
    """The checkpoint that a path stands for: a file of one, or the newest of a run directory.

    Raises:
        UserError: there is none, it is damaged, or it holds nothing but weights.
    """
    given = f"checkpoint.resume_from={origin}"
    if origin.is_dir():
        folder = origin / "checkpoints" if (origin / "checkpoints").is_dir() else origin
        found = Checkpoints(folder, CheckpointCfg()).latest()
    else:
        folder = origin.parent
        name = origin.name.removesuffix(STATE_SUFFIX).removesuffix(WEIGHTS_SUFFIX)
        try:
            found = read_pair(folder / f"{name}{WEIGHTS_SUFFIX}") if origin.is_file() else None
        except DamagedCheckpointError as damage:
            raise UserError(f"{given} is no whole checkpoint: {damage}.") from damage
    if found is None:
        names = ", ".join(step_names(folder))
        held = f"Those in {folder}: {names}." if names else f"There are none in {folder}."
        raise UserError(f"{given}: there is no such checkpoint. {held}")
    if "progress" not in found.info:
        raise UserError(
            f"{given} holds weights only. Take a file step-….safetensors, or start a new training "
            "from these weights with checkpoint.load."
        )
    return found


def begin_as_branch(run_dir: Path, origin: Path, config: Config) -> None:
    """Begin with what the run of a checkpoint measured until then, and say what is changed."""
    metrics, recorded = (origin.parent.parent / name for name in ("metrics.csv", "config.yaml"))
    if metrics.exists():
        write_bytes(run_dir / "metrics.csv", metrics.read_bytes())
    if is_record(recorded):
        own = "  checkpoint.resume_from:"
        changed = [one for one in changes(recorded, config) if not one.startswith(own)]
        if changed:
            log.info("Changed since that run:\n%s", "\n".join(changed))


def best_beside(origin: Path) -> Iterator[Checkpoint]:
    """The weights of the best validations of the run of a checkpoint, those that are whole."""
    for name in best_names(origin.parent):
        with contextlib.suppress(DamagedCheckpointError):
            yield read_pair(origin.parent / name)
