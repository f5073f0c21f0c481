"""What a checkpoint holds of a training, and how a training resumes from it."""

import json
import logging
from collections.abc import Mapping
from typing import Any

import attrs
from torch import Tensor

from runwright.device.distributed import World
from runwright.optimizers.optimizer_factory import SteppedSchedule
from runwright.plain import plain_values
from runwright.rundir.branch import best_beside
from runwright.rundir.checkpoint import Checkpoint, Checkpoints
from runwright.training import sharding
from runwright.training.built import Built
from runwright.training.optimizer_state import (
    SCHEDULED,
    changed,
    flatten_optimizer,
    hyperparameters,
    restore_hyperparameters,
    restore_optimizer,
)
from runwright.training.packing import pack, unpack
from runwright.training.random_state import random_state, restore_random_state
from runwright.training.state import TrainState
from runwright.training.step import TrainStep
from runwright.training.weights import load_into

log = logging.getLogger(__name__)


class Snapshots:
    """Saves everything that it takes to resume, and the best weights, and restores them."""

    def __init__(
        self, built: Built[Any], step: TrainStep[Any], checkpoints: Checkpoints, world: World
    ) -> None:
        self._checkpoints = checkpoints
        self._step = step
        self._world = world
        self._device = built.runtime.device
        self._opt = built.config.opt
        self._fresh = {
            name: hyperparameters(one, step.model) for name, one in step.optimizers.items()
        }
        # Weights of the best validations by step, in memory until the next checkpoint.
        self._best: dict[int, dict[str, Tensor]] = {}
        self._leaders: dict[int, float] = {}
        self._monitor = ""

    def keep_best(self, state: TrainState) -> None:
        """Keep the current weights: they are among the best so far."""
        weights = sharding.full(self._step.evaluated_model.state_dict())
        if self._world.is_main:
            self._best[state.step] = {name: tensor.clone() for name, tensor in weights.items()}
            self._rank(state)

    def _rank(self, state: TrainState) -> None:
        self._leaders, self._monitor = dict(state.leaders), state.monitor
        self._best = {step: held for step, held in self._best.items() if step in self._leaders}

    def write_best(self) -> None:
        """Write the best weights, if they have not been written yet."""
        for step, weights in self._best.items():
            info = {"step": step, self._monitor: self._leaders[step]}
            self._checkpoints.save_best(weights, info, ranked=list(self._leaders))
        self._best = {}

    def write(self, state: TrainState, *, wandb_id: str | None) -> None:
        """Write a checkpoint, and the best weights with it."""
        step, world = self._step, self._world
        self.write_best()
        random = world.all_gather(random_state(self._device))
        saved, info = self._optimizers()
        weights, saved = sharding.full(step.model.state_dict()), sharding.full(saved)
        average = {} if step.ema is None else sharding.full(step.ema.model.state_dict())
        if not world.is_main:
            return
        for rank, generators in enumerate(random):
            saved |= {f"{_random_of(rank)}{name}": t for name, t in generators.items()}
        saved |= {f"ema/{name}": tensor for name, tensor in average.items()}
        info |= {
            "progress": attrs.asdict(state),
            "optimizer_name": self._opt.described,
            "lr": step.lr(state.step - 1),
            "schedule_name": self._opt.schedule_described,
            "schedule_of": self._schedule_of,
            "scaler": step.scaler.state_dict(),
            "not_captured": step.not_captured,
            "total_steps": step.total_steps,
            "processes": world.size,
            "wandb_id": wandb_id,
        }
        self._checkpoints.save(state.step, weights, saved, info)

    def _optimizers(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The state of the optimisers and of their schedule: tensors, and plain values."""
        step = self._step
        saved: dict[str, Tensor] = {}
        info: dict[str, Any] = {}
        for name, optimizer in step.optimizers.items():
            key = _of_optimizer(name)
            tensors, info[key] = flatten_optimizer(optimizer, step.model)
            saved |= {f"{key}/{one}": tensor for one, tensor in tensors.items()}
            groups = changed(hyperparameters(optimizer, step.model), self._fresh[name])
            info[f"{key}_groups"] = pack(groups, f"{key}_groups", saved)
        info["schedule"] = pack(step.schedule.state(), "schedule", saved)
        return saved, info

    def restore(self, checkpoint: Checkpoint, *, is_own: bool = True) -> TrainState:
        """Restore everything that a checkpoint holds, of this run or of another.

        Raises:
            UserError: the weights do not fit this model.
        """
        step = self._step
        load_into(step.model, checkpoint.weights, checkpoint.path)
        if self._world.is_main and is_own:
            self._checkpoints.check_best()
            self._checkpoints.name_last(checkpoint)
        tensors, info = checkpoint.state, checkpoint.info
        self._restore_optimizers(tensors, info)
        if info["scaler"]:  # empty unless the precision was fp16
            step.scaler.load_state_dict(info["scaler"])
        if step.ema is not None:
            average = _below(tensors, "ema/") or dict(checkpoint.weights)
            load_into(step.ema.model, average, checkpoint.path)
        step.resume_capture(info.get("not_captured"))
        self._restore_random(tensors, info)
        state = TrainState(**info["progress"])
        if state.best is not None and not state.leaders:  # of a run before there were any
            state.leaders = [(state.best_step, state.best)]
        return state

    def take_over_best(self, state: TrainState) -> None:
        """Count the best weights on disk as the best so far, even if from a later step."""
        found = self._checkpoints.best_info()
        value = found.get(state.monitor)
        if value is not None and found["step"] > state.step:
            state.best, state.best_step = value, found["step"]
            state.leaders = [(found["step"], value)]
            log.info("The best weights are from step %d, before the change.", found["step"])

    def adopt_best(self, state: TrainState, checkpoint: Checkpoint) -> bool:
        """Take the best weights of the run of a checkpoint for one's own.

        Returns:
            Whether they are those that were the best at the checkpoint, and not later ones.
        """
        ranked = dict(state.leaders)
        found = {
            step: dict(best.weights)
            for best in best_beside(checkpoint.path)
            if (step := best.info.get("step")) in ranked and state.monitor in best.info
        }
        if state.best is not None and state.best_step not in found:
            return False
        state.leaders = [(step, value) for step, value in state.leaders if step in found]
        if self._world.is_main:
            self._best = found
            self._rank(state)
        return True

    def _restore_optimizers(self, tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
        step, opt = self._step, self._opt
        schedule_stays = self._keeps_schedule(tensors, info)
        keys = {name: _of_optimizer(name) for name in step.optimizers}
        before = info.get("optimizer_name", opt.described)
        if before != opt.described or not info.keys() >= set(keys.values()):
            log.warning(
                "The state of the optimiser is reset: it was saved by %s, and this is %s.",
                before,
                opt.described,
            )
        else:
            for name, optimizer in step.optimizers.items():
                key = keys[name]
                restore_optimizer(optimizer, step.model, _below(tensors, f"{key}/"), info[key])
                if (groups := info.get(f"{key}_groups")) is not None:  # of a run before there were
                    restore_hyperparameters(
                        optimizer,
                        step.model,
                        unpack(groups, tensors),
                        without=() if schedule_stays else SCHEDULED,
                    )
        if schedule_stays and "schedule" in info:
            step.schedule.restore(unpack(info["schedule"], tensors))

    @property
    def _schedule_of(self) -> str:
        """What the state of a scheduler of another library belongs to."""
        return json.dumps([plain_values(self._opt), self._step.total_steps], default=str)

    def _keeps_schedule(self, tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> bool:
        """Whether the state of the schedule is that of this training; says so if it is not."""
        schedule, now = self._step.schedule, self._opt.schedule_described
        before = info.get("schedule_name", now)
        is_same = before == now
        if isinstance(schedule, SteppedSchedule):  # its state holds its options
            is_same = is_same and info.get("schedule_of") == self._schedule_of
        if is_same or not (schedule.state() or unpack(info["schedule"], tensors)):
            return is_same
        if before != now:
            log.warning(
                "The state of the schedule is reset: it was %s, and this is %s.", before, now
            )
        else:
            log.warning(
                "%s starts again and is advanced to this step: its options or the number of steps "
                "have changed.",
                now,
            )
        return False

    def _restore_random(self, tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
        generators = _below(tensors, _random_of(self._world.rank))
        processes = info.get("processes", 1)
        if not generators or processes != self._world.size:
            log.warning(
                "The checkpoint is from %d processes, not %d: random draws within a step "
                "(dropout, say) differ from those of an uninterrupted run.",
                processes,
                self._world.size,
            )
        if generators:
            restore_random_state(generators, self._device)


def _of_optimizer(name: str) -> str:
    """What the state of an optimiser is saved under; of one that is alone, without a name."""
    return f"optimizer.{name}" if name else "optimizer"


def _random_of(rank: int) -> str:
    """The prefix of a process's random generators in the state."""
    return f"random/{rank}/" if rank else "random/"


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
