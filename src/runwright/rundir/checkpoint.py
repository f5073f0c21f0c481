"""Checkpoints: written atomically, verified when read, never pickled.

A checkpoint is a pair of safetensors files: `NAME.safetensors` holds the weights alone, for use
anywhere, and `NAME.state.safetensors` what else is needed to resume (optimiser, moving average,
random generators; counters in its header). Each carries a digest of its own content, and the state
that of its weights too, so a damaged or mismatched pair is recognised.

In a run's `checkpoints/` folder, `step-00000500.*` are the checkpoints to resume from, `last.*` the
newest of them under a fixed name, and `best.*` the weights with the best validation. If several of
these are kept, they are `best-step-00000500.*`, and `best.*` is one of them. Equal files are links.
"""

import filecmp
import logging
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from runwright.config import CheckpointCfg
from runwright.errors import UserError
from runwright.rundir.tensor_files import (
    DamagedCheckpointError,
    Info,
    Tensors,
    read_tensors,
    write_tensors,
)
from runwright.storage.atomic_files import alias, is_temporary

log = logging.getLogger(__name__)

WEIGHTS_SUFFIX: Final = ".safetensors"
STATE_SUFFIX: Final = ".state.safetensors"

# As `save` names them; files with other names are not ours.
_OWN_WEIGHTS: Final = re.compile(r"step-(\d{8}|[1-9]\d{8,})\.safetensors")
_OWN_BEST: Final = re.compile(r"best-step-(\d{8}|[1-9]\d{8,})(\.state)?\.safetensors")
_OWN_STATE: Final = re.compile(r"step-(\d{8}|[1-9]\d{8,})\.state\.safetensors")

# Without `save_every`, saving takes about this share of the time, and starts after this long.
_SHARE_OF_TIME: Final = 0.01
_FIRST_AFTER_SECONDS: Final = 10.0

_MIN_WHILE_TRAINING: Final = 2  # one to resume from, and another in case it is damaged


@attrs.frozen(kw_only=True)
class Checkpoint:
    """A checkpoint that was read and verified.

    Attributes:
        path: the file of the weights.
        weights: the model's state dictionary.
        state: further tensors by name, e.g. `optimizer/0/exp_avg`.
        info: counters and other plain values.
    """

    path: Path
    weights: Tensors
    state: Tensors
    info: Info


class Checkpoints:
    """The checkpoints of one run.

    Attributes:
        folder: where they are.
        cfg: which are written and kept.
        steps_per_epoch: the length of an epoch, for options given in epochs.
    """

    def __init__(self, folder: Path, cfg: CheckpointCfg) -> None:
        self.folder = folder
        self.cfg = cfg
        self.steps_per_epoch = 1
        self._last_saved = time.monotonic()
        self._cost = _FIRST_AFTER_SECONDS * _SHARE_OF_TIME
        self._cost_of_best = 0.0

    def due(self, step: int) -> bool:
        """Whether a checkpoint should be written after this step."""
        if self._is_multiple(step, self.cfg.keep_every):
            return True
        if self.cfg.save_every is not None:
            return self._is_multiple(step, self.cfg.save_every)
        return time.monotonic() - self._last_saved >= self._cost / _SHARE_OF_TIME

    def save(self, step: int, weights: Tensors, state: Tensors, info: Info) -> None:
        """Write the checkpoint of a step, and delete those that are no longer kept."""
        started = time.monotonic()
        for later in [old for old in self._steps() if old > step]:
            self._delete(later)  # damaged, or this run would have resumed from there
        name = f"step-{step:08d}"
        self._write_pair(name, weights, state, {**info, "step": step})
        self._alias(name, "last")
        self._keep(self.cfg.keep and max(self.cfg.keep, _MIN_WHILE_TRAINING))
        self._last_saved = time.monotonic()
        self._cost = max(self._cost, self._last_saved - started + self._cost_of_best)
        self._cost_of_best = 0.0

    def finish(self) -> None:
        """Delete what a finished run does not need, e.g. the spare for a damaged last one."""
        self._keep(self.cfg.keep)
        last = self.folder / f"last{WEIGHTS_SUFFIX}"
        if _are_equal(last, self.best):
            alias(last, self.best)

    def _keep(self, newest: int | None) -> None:
        for old in self._steps()[newest:] if newest is not None else ():
            if not self._is_multiple(old, self.cfg.keep_every):
                self._delete(old)

    def _is_multiple(self, step: int, every: float | None) -> bool:
        """Whether a step is a multiple of `every`: steps if an int, epochs if a float."""
        if isinstance(every, float):
            every = max(1, round(every * self.steps_per_epoch))
        return every is not None and step % every == 0

    def name_last(self, checkpoint: Checkpoint) -> None:
        """Point `last` to this checkpoint, in case the run was killed just before doing so."""
        name = checkpoint.path.name.removesuffix(WEIGHTS_SUFFIX)
        if name != "last":
            self._alias(name, "last")

    def save_best(self, weights: Tensors, info: Info, ranked: Sequence[int] = ()) -> None:
        """Write the weights of one of the best validations.

        Args:
            weights: the weights.
            info: their step, and the measure.
            ranked: the steps of all weights that are kept, the best first.
        """
        started = time.monotonic()
        several = ranked if self.cfg.keep_best > 1 else ()
        if several:
            self._write_pair(_best_of_step(info["step"]), weights, {}, info)
            self._name_best(several)
        else:
            self._write_pair("best", weights, {}, info)
        for path in list(_listed(self.folder)):
            match = _OWN_BEST.fullmatch(path.name)
            if match and int(match[1]) not in several:
                path.unlink(missing_ok=True)
        self._cost_of_best += time.monotonic() - started

    def _name_best(self, ranked: Sequence[int]) -> None:
        """Point `best` to the first of these that exists, keeping the previous one if ranked."""
        names = [_best_of_step(step) for step in ranked]
        there = [(self.folder / f"{name}{STATE_SUFFIX}").exists() for name in names]
        if not all(there):
            before = self.best_info().get("step", 0)
            if before in ranked:
                self._alias("best", _best_of_step(before))
                there[ranked.index(before)] = True
        self._alias(next(n for n, is_there in zip(names, there, strict=True) if is_there), "best")

    def _alias(self, name: str, other: str) -> None:
        """Give a pair another name too."""
        for suffix in (WEIGHTS_SUFFIX, STATE_SUFFIX):
            target, link = self.folder / f"{name}{suffix}", self.folder / f"{other}{suffix}"
            if not (link.exists() and link.samefile(target)):
                alias(target, link)

    @property
    def best(self) -> Path:
        """The file of the best weights, whether or not it exists."""
        return self.folder / f"best{WEIGHTS_SUFFIX}"

    def best_info(self) -> Info:
        """The step of the best weights, and the measure; empty if none are intact."""
        try:
            return read_pair(self.folder / f"best{WEIGHTS_SUFFIX}").info
        except DamagedCheckpointError:
            return {}

    def check_best(self) -> None:
        """Log what is wrong with the best weights, if they exist and are damaged."""
        if not self.best.exists():
            return
        try:
            read_pair(self.best)
        except DamagedCheckpointError as damage:
            log.warning(
                "Damaged best weights %s. The next better validation will rewrite them.", damage
            )

    def newest(self) -> Path | None:
        """The file of the newest weights to resume from, or of the best; None if there are none."""
        names = [*self._names(), "best"]
        paths = (self.folder / f"{name}{WEIGHTS_SUFFIX}" for name in names)
        return next((path for path in paths if path.exists()), None)

    def exist(self) -> bool:
        """Whether there are any to resume from; the best weights do not count."""
        return bool(self._names())

    def clean(self) -> None:
        """Delete what a killed process left half-written."""
        whole = {f"step-{step:08d}{WEIGHTS_SUFFIX}" for step in self._steps()}
        for path in _listed(self.folder):
            is_half = _OWN_WEIGHTS.fullmatch(path.name) and path.name not in whole
            if is_half or is_temporary(path, WEIGHTS_SUFFIX):
                path.unlink(missing_ok=True)

    def _delete(self, step: int) -> None:
        for suffix in (STATE_SUFFIX, WEIGHTS_SUFFIX):
            (self.folder / f"step-{step:08d}{suffix}").unlink(missing_ok=True)

    def latest(self) -> Checkpoint | None:
        """The newest intact checkpoint; None if none was ever written.

        Damaged ones are logged and skipped.

        Raises:
            UserError: there are checkpoints and every one of them is damaged.
        """
        damaged: list[str] = []
        for name in self._names():
            try:
                checkpoint = read_pair(self.folder / f"{name}{WEIGHTS_SUFFIX}")
            except DamagedCheckpointError as error:
                damaged.append(str(error))
                log.warning("Damaged checkpoint %s.", error)
                continue
            if damaged:
                log.warning("Using the previous one, from step %d.", checkpoint.info["step"])
            return checkpoint
        if damaged:
            raise UserError(
                "Every checkpoint of this run is damaged:\n  "
                + "\n  ".join(damaged)
                + "\nPut a good copy in place, or start over in another directory."
            )
        return None

    def _names(self) -> list[str]:
        names = [f"step-{step:08d}" for step in self._steps()]
        return [*names, "last"] if (self.folder / f"last{WEIGHTS_SUFFIX}").exists() else names

    def _steps(self) -> list[int]:
        """The steps that have a state file, newest first."""
        found = (_OWN_STATE.fullmatch(path.name) for path in _listed(self.folder))
        return sorted((int(match[1]) for match in found if match), reverse=True)

    def _write_pair(self, name: str, weights: Tensors, state: Tensors, info: Info) -> None:
        digest = write_tensors(self.folder / f"{name}{WEIGHTS_SUFFIX}", weights, {})
        # The state comes second: if it exists, so do its weights.
        whole = {**info, "weights_digest": digest}
        write_tensors(self.folder / f"{name}{STATE_SUFFIX}", state, whole)


def read_pair(path: Path) -> Checkpoint:
    """Read the checkpoint whose weights are in this file.

    Raises:
        DamagedCheckpointError: one of its files is damaged, or they do not belong together.
    """
    weights, _, digest = read_tensors(path)
    state, info, _ = read_tensors(path.with_name(path.name[: -len(WEIGHTS_SUFFIX)] + STATE_SUFFIX))
    if info.get("weights_digest") != digest:
        raise DamagedCheckpointError(path, "its weights and its state are from different steps")
    return Checkpoint(path=path, weights=weights, state=state, info=info)


def best_names(folder: Path) -> list[str]:
    """The names of the files in a folder with the weights of the best validations."""
    names = sorted(path.name for path in _listed(folder))
    several = [name for name in names if _OWN_BEST.fullmatch(name) and STATE_SUFFIX not in name]
    return [f"best{WEIGHTS_SUFFIX}", *several]


def step_names(folder: Path) -> list[str]:
    """The names of the files in a folder with the weights of checkpoints to resume from."""
    return sorted(path.name for path in _listed(folder) if _OWN_WEIGHTS.fullmatch(path.name))


def _best_of_step(step: int) -> str:
    return f"best-step-{step:08d}"


def find_weights(location: Path) -> Path:
    """The file of weights that a path points to: itself, or the best of a run directory.

    Raises:
        UserError: there is no such file.
    """
    if location.is_file():
        return location
    candidates = [
        location / folder / f"{name}{WEIGHTS_SUFFIX}"
        for folder in ("checkpoints", ".")
        for name in ("best", "last")
    ]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    looked = "\n  ".join(str(path) for path in [location, *candidates])
    raise UserError(
        f"There are no weights to load. Looked for:\n  {looked}\n"
        "Set checkpoint.load=<run directory or .safetensors file>."
    )


def _are_equal(path: Path, other: Path) -> bool:
    """Whether two files exist, are not yet the same file, and are equal to the byte."""
    if not (path.exists() and other.exists()) or path.samefile(other):
        return False
    return filecmp.cmp(path, other, shallow=False)


def _listed(folder: Path) -> Iterator[Path]:
    return folder.iterdir() if folder.is_dir() else iter(())
