"""Continuing from a checkpoint of another run in a new directory; the other run is not changed."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from runwright.config import CheckpointCfg, Config
from runwright.errors import UserError
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
from runwright.storage.atomic_files import write_bytes
from runwright.storage.kept import KEPT, kept_files

log = logging.getLogger(__name__)


def check_origin(origin: Path, run_dir: Path, dir_option: str, *, resumes: bool = True) -> None:
    """Check, before the data are read, that `origin` is a checkpoint of another run.

    Args:
        origin: `checkpoint.resume_from`.
        run_dir: the directory of the run.
        dir_option: the option that sets the directory.
        resumes: whether the run goes on where it is, if it has started.

    Raises:
        UserError: it is not.
    """
    if origin.resolve().is_relative_to(run_dir.resolve()):
        raise UserError(
            f"checkpoint.resume_from={origin} belongs to this run, which resumes from its newest "
            f"checkpoint. To go back, use another {dir_option}: later results stay here."
        )
    if not (resumes and Checkpoints(run_dir / "checkpoints", CheckpointCfg()).exist()):
        find_checkpoint(origin)


def take_over_kept(origin: Path, run_dir: Path) -> None:
    """Read data as the run of a checkpoint did, before they are read: its weights expect it."""
    for file in kept_files(origin):
        if not (run_dir / KEPT / file.name).exists():
            write_bytes(run_dir / KEPT / file.name, file.read_bytes())


def find_checkpoint(origin: Path) -> Checkpoint:
    """The checkpoint that a path points to: the file's own, or the newest of a run directory.

    Raises:
        UserError: there is none, it is damaged, or it contains only weights.
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
            raise UserError(f"{given} is not a complete checkpoint: {damage}.") from damage
    if found is None:
        names = ", ".join(step_names(folder))
        found_there = f"{folder} has {names}." if names else f"There are none in {folder}."
        raise UserError(f"{given}: there is no such checkpoint. {found_there}")
    if "progress" not in found.info:
        raise UserError(
            f"{given} contains only weights. Use a file step-….safetensors, or start a new "
            "training from these weights with checkpoint.load."
        )
    return found


def begin_as_branch(run_dir: Path, origin: Path, config: Config) -> None:
    """Copy what the other run measured until its checkpoint, and log which options differ."""
    metrics, recorded = (origin.parent.parent / name for name in ("metrics.csv", "config.yaml"))
    if metrics.exists():
        write_bytes(run_dir / "metrics.csv", metrics.read_bytes())
    if is_record(recorded):
        own = "  checkpoint.resume_from:"
        changed = [one for one in changes(recorded, config) if not one.startswith(own)]
        if changed:
            log.info("Changed since that run:\n%s", "\n".join(changed))


def best_beside(origin: Path) -> Iterator[Checkpoint]:
    """The intact weights of the best validations next to a checkpoint."""
    for name in best_names(origin.parent):
        with contextlib.suppress(DamagedCheckpointError):
            yield read_pair(origin.parent / name)
