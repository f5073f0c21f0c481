"""The training loop, from top to bottom.

A *step* is one update of the weights, from `accumulate_grad_batches` batches. Everything that a
step depends on is a function of the step's number and of the state in the last checkpoint, so a
run that was killed and resumed ends with the same weights, to the byte, as one that was not: on
the CPU always, on a GPU with kernels whose results are equal to the bit (`deterministic`).
"""

import contextlib
import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import attrs
import torch
from torch import Tensor, nn

from runwright.caller import Reporter
from runwright.config import TrainingCfg
from runwright.data import Batch, Data, Split
from runwright.distributed import World
from runwright.errors import RunError, UserError, did_you_mean
from runwright.objective import Objective
from runwright.optimisation import OptimisationCfg
from runwright.rundir.checkpoint import Checkpoint, Checkpoints
from runwright.rundir.result import FitResult
from runwright.training import sharding
from runwright.training.ema import MovingAverage
from runwright.training.evaluation import autocast, choose_monitor, evaluate, limited
from runwright.training.losses import LossHistory
from runwright.training.memory import explaining_out_of_memory
from runwright.training.optimizer_state import flatten_optimizer, restore_optimizer
from runwright.training.parallel import data_parallel, no_sync
from runwright.training.progress import Progress
from runwright.training.random_state import random_state, restore_random_state
from runwright.training.run_log import RunLog
from runwright.training.splits import part_of
from runwright.training.stop import StopRequest
from runwright.training.weights import load_into

if TYPE_CHECKING:
    from torch.optim import Optimizer

log = logging.getLogger(__name__)

B = TypeVar("B", bound=Batch)

_ALONE: Final = World()

_NON_FINITE = (
    "The {what} is {value} at step {step} (learning rate {lr:.3g}). Stopped; {saved}. Look for "
    "such values in the data, or try a lower opt.lr, a warm-up (opt.warmup) or training.clip_grad."
)

_OUT_OF_MEMORY: Final = (
    "Out of memory in step {step} of {steps}: {said}. Use a smaller batch size of the data (such "
    "as dm.batch_size), with training.accumulate_grad_batches for as many examples a step as "
    "before; or training.precision=bf16, a smaller model, or another device (gpu)."
)

_OUT_OF_MEMORY_VALIDATING: Final = (
    "Out of memory in the validation after step {step} of {steps}: {said}. Use "
    "training.precision=bf16, a smaller model, smaller examples (such as dm.default_res), or "
    "another device (gpu)."
)

_ONE_VALUE: Final = (
    "Batch normalisation gets one value per channel, of which it takes no variance. Use a larger "
    "batch size of the data (such as dm.batch_size={two}), or a model without batch normalisation."
)


class Training(Generic[B]):
    """Everything that takes part in one training; `run` is the loop."""

    def __init__(
        self,
        *,
        model: nn.Module,
        objective: Objective[B],
        data: Data[Any, B],
        opt: OptimisationCfg,
        cfg: TrainingCfg,
        checkpoints: Checkpoints,
        run_log: RunLog,
        device: torch.device,
        reporter: Reporter | None = None,
        world: World = _ALONE,
    ) -> None:
        """Prepare a training from step 0; `restore` makes it go on from a checkpoint.

        Raises:
            UserError: the options do not fit the data or the objective.
        """
        self.model = model
        self.objective = objective
        self.cfg = cfg
        self.checkpoints = checkpoints
        self.run_log = run_log
        self.device = device
        self.reporter = reporter
        self.world = world
        train, self.val = limited(data, cfg)
        self.train = part_of(train, world.rank, world.size)
        self.ema = MovingAverage(model, cfg.ema_decay) if cfg.ema_decay is not None else None
        sharded = cfg.parallel == "fsdp"
        self.trained = data_parallel(model, world, sharded=sharded)
        if self.ema is not None and sharded:
            data_parallel(self.ema.model, world, sharded=True)
        self.steps_per_epoch = self.train.num_batches // cfg.accumulate_grad_batches
        if self.steps_per_epoch == 0:
            raise UserError(
                f"An epoch has {self.train.num_batches} batches, fewer than "
                f"training.accumulate_grad_batches={cfg.accumulate_grad_batches}."
            )
        self.total_steps = _total_steps(cfg, self.steps_per_epoch)
        self.val_every = _validation_interval(cfg, self.steps_per_epoch)
        _refuse_lone_examples(model, data.train, world.size)
        self.monitor, self.higher_is_better = choose_monitor(cfg, objective, self.val is not None)
        self.optimizer: Optimizer = opt.build(model)
        self.optimizer_name = opt.described
        self.peak_lrs: list[float] = [group["lr"] for group in self.optimizer.param_groups]
        self.lr_factor = opt.lr_factor(self.total_steps)
        self.scaler = torch.amp.GradScaler(device.type, enabled=cfg.precision == "fp16")
        self.losses = LossHistory(world)
        self.progress = Progress(monitor=self.monitor)
        self.unsaved_best: dict[str, Tensor] | None = None

    def run(self, stop: StopRequest) -> FitResult:
        """Train until the last step, an early stop, or a request to stop.

        Raises:
            RunError: the loss is no longer finite, or the memory is too small.
            KeyboardInterrupt, SystemExit: a stop was requested; a checkpoint has been saved.
        """
        try:
            with stop.after_the_step(), self._explaining_out_of_memory(_OUT_OF_MEMORY, 1):
                return self._run(stop)
        except BaseException:
            # What was measured to be good is kept, whatever went wrong since, if it can be.
            with contextlib.suppress(OSError, MemoryError, RuntimeError):
                self._save_best()
            raise

    def _run(self, stop: StopRequest) -> FitResult:
        progress, cfg, world = self.progress, self.cfg, self.world
        self.run_log.begin(
            step=progress.step, total_steps=self.total_steps, log_every=self.cfg.log_every
        )
        self.model.train()
        while progress.step < self.total_steps and not progress.finished:
            epoch, done = divmod(progress.step, self.steps_per_epoch)
            batches = self.train.batches(epoch, start=done * cfg.accumulate_grad_batches)
            for _ in range(min(self.steps_per_epoch - done, self.total_steps - progress.step)):
                lr = self._set_lr(progress.step)
                for remaining in reversed(range(cfg.accumulate_grad_batches)):
                    with no_sync(self.trained, world) if remaining else contextlib.nullcontext():
                        with autocast(self.device, cfg.precision):
                            losses = self._losses(next(batches))
                        loss = self._share_of_step(losses["loss"])
                        self.scaler.scale(loss).backward()
                    self.losses.add(losses)
                if cfg.clip_grad is not None:
                    self.scaler.unscale_(self.optimizer)
                    nn.utils.clip_grad_norm_(self.model.parameters(), cfg.clip_grad)
                self.scaler.step(self.optimizer)
                self.scaler.update()
                self.optimizer.zero_grad(set_to_none=True)
                if self.ema is not None:
                    self.ema.update(self.model)
                progress.step += 1
                self.run_log.advance()

                measures: dict[str, float] = {}
                is_last = progress.step == self.total_steps
                if progress.step % cfg.log_every == 0 or is_last:
                    measures |= self._read_losses(lr)  # the one wait for the device
                if self.val is not None and (progress.step % self.val_every == 0 or is_last):
                    measures |= self._validate(lr)
                if measures:
                    self._record(measures)
                progress.finished |= is_last
                stopping, due = world.any(
                    stop.requested, world.is_main and self.checkpoints.due(progress.step)
                )
                if progress.finished or stopping or due:
                    self._save(lr)
                if progress.finished:
                    break
                if stopping:
                    stop.agree(world)
                    stop.raise_if_requested()
        if progress.best is None:
            progress.best, progress.best_step = math.nan, progress.step
        return FitResult(
            monitor=self.monitor,
            value=progress.best,
            step=progress.best_step,
            steps=progress.step,
            measures=progress.best_measures,
            higher_is_better=self.higher_is_better,
            pruned=progress.pruned,
        )

    def _losses(self, batch: B) -> dict[str, Tensor]:
        try:
            return self.objective.losses(self.trained, batch)
        except ValueError as error:
            if not str(error).startswith("Expected more than 1 value per channel"):  # torch's
                raise
            raise UserError(_ONE_VALUE.format(two=2 * self.world.size)) from error

    def _share_of_step(self, loss: Tensor) -> Tensor:
        """What the loss of a batch adds to the mean over the batches of a step."""
        batches = self.cfg.accumulate_grad_batches
        return loss if batches == 1 else loss / batches  # a division by 1 is a node of the graph

    def evaluated_model(self) -> nn.Module:
        """The model that is validated: the moving average of the weights if there is one."""
        return self.model if self.ema is None else self.ema.model

    def restore(self, checkpoint: Checkpoint, *, is_changed: bool = False) -> None:
        """Go on from a checkpoint; of a finished training only if it would not end there now.

        Args:
            checkpoint: what to go on from.
            is_changed: whether the options are not those that it was trained with, so that what
                came after it will not come again.

        Raises:
            UserError: the weights are not of this model.
        """
        load_into(self.model, checkpoint.weights, checkpoint.path)
        if self.world.is_main:
            self.checkpoints.check_best()
            self.checkpoints.name_last(checkpoint)
        state, info = checkpoint.state, checkpoint.info
        self.progress = Progress(**info["progress"])
        if self.progress.monitor != self.monitor:
            log.warning("%s decides from here on, and starts anew.", self.monitor)
            self.progress.monitor, self.progress.best = self.monitor, None
            self.progress.validations_without_best = 0
        is_last = self.progress.step >= self.total_steps
        stays = is_last or self.progress.pruned or self._is_stuck()
        if info["total_steps"] != self.total_steps or not stays:
            self.progress.finished = self.progress.pruned = False
        self.losses.restore(self.progress.unread)
        if is_changed:
            self._take_over_best()
        if info.get("optimizer_name", self.optimizer_name) == self.optimizer_name:
            optimizer = _below(state, "optimizer/")
            restore_optimizer(self.optimizer, self.model, optimizer, info["optimizer"])
        else:
            log.warning(
                "The state of the optimiser starts anew: it was that of %s, and this is %s.",
                info["optimizer_name"],
                self.optimizer_name,
            )
        if info["scaler"]:  # empty unless the precision was fp16
            self.scaler.load_state_dict(info["scaler"])
        if self.ema is not None:
            average = _below(state, "ema/") or dict(checkpoint.weights)
            load_into(self.ema.model, average, checkpoint.path)
        generators = _below(state, _random_of(self.world.rank))
        if not generators or info.get("processes", 1) != self.world.size:
            log.warning(
                "The checkpoint is of %d processes, not %d: what is drawn at random in a step "
                "(dropout, say) is not what it would have been.",
                info.get("processes", 1),
                self.world.size,
            )
        if generators:
            restore_random_state(generators, self.device)

    def _take_over_best(self) -> None:
        """Count the best weights on disk as the best so far, though they are of a later step."""
        found = self.checkpoints.best_info()
        value = found.get(self.monitor)
        if value is not None and found["step"] > self.progress.step:
            self.progress.best, self.progress.best_step = value, found["step"]
            log.info("The best weights are of step %d, before the change.", found["step"])

    def _set_lr(self, step: int) -> float:
        factor = self.lr_factor(step)
        for group, peak in zip(self.optimizer.param_groups, self.peak_lrs, strict=True):
            group["lr"] = peak * factor
        return self.peak_lrs[0] * factor

    def _read_losses(self, lr: float) -> dict[str, float]:
        """The mean of every loss since they were last read.

        Raises:
            RunError: one of them is not finite.
        """
        self._check_losses()
        means = {f"train_{name}": sum(v) / len(v) for name, v in self.losses.read().items()}
        self.losses.clear()
        self.run_log.progress(self.progress.step, means["train_loss"])
        if self.monitor == "train_loss":
            self._judge(means)
        return {"epoch": self.progress.step / self.steps_per_epoch, "lr": lr, **means}

    def _check_losses(self) -> None:
        values = self.losses.read().get("loss", [])
        for index, value in enumerate(values):
            if not math.isfinite(value):
                behind = (len(values) - 1 - index) // self.cfg.accumulate_grad_batches
                step = self.progress.step - behind
                self._fail(
                    "training loss", value, step, self.peak_lrs[0] * self.lr_factor(step - 1)
                )

    def _fail(self, what: str, value: float, step: int, lr: float) -> None:
        self._save_best()
        good = self.checkpoints.newest()
        saved = f"the last good checkpoint is {good}" if good else "no checkpoint was due before it"
        raise RunError(_NON_FINITE.format(what=what, value=value, step=step, lr=lr, saved=saved))

    def _explaining_out_of_memory(
        self, text: str, ahead: int = 0
    ) -> contextlib.AbstractContextManager[None]:
        def explain(said: str) -> RunError:
            step, steps = self.progress.step + ahead, self.total_steps
            return RunError(text.format(step=step, steps=steps, said=said))

        return explaining_out_of_memory(explain)

    def _save_best(self) -> None:
        """Write the best weights, if they were not written yet."""
        if self.unsaved_best is not None and self.world.is_main:
            info = {"step": self.progress.best_step, self.monitor: self.progress.best}
            self.checkpoints.save_best(self.unsaved_best, info)
            self.unsaved_best = None

    def _validate(self, lr: float) -> dict[str, float]:
        assert self.val is not None
        with (
            autocast(self.device, self.cfg.precision),
            self._explaining_out_of_memory(_OUT_OF_MEMORY_VALIDATING),
        ):
            evaluation = evaluate(self.evaluated_model(), self.objective, self.val, self.world)
        self.model.train()
        measured = evaluation.compute()
        measures = {f"val_{name}": value for name, value in measured.items()}
        if not math.isfinite(measures["val_loss"]):
            self._check_losses()  # it is likelier that the training went wrong first
            self._fail("validation loss", measures["val_loss"], self.progress.step, lr)
        if self.monitor != "train_loss":
            self._judge(measures)
        return {"epoch": self.progress.step / self.steps_per_epoch, **measures}

    def _judge(self, measures: dict[str, float]) -> None:
        """Decide whether these are the best weights so far, and whether to go on."""
        if self.monitor not in measures:
            raise UserError(
                f"training.monitor: nothing called '{self.monitor}' is measured. "
                + did_you_mean(self.monitor, measures)
            )
        value, progress = measures[self.monitor], self.progress
        if math.isnan(value):
            log.warning("%s is undefined at step %d.", self.monitor, progress.step)
            better = False
        else:
            better = progress.best is None or (
                value > progress.best if self.higher_is_better else value < progress.best
            )
        if better:
            progress.best, progress.best_step = value, progress.step
            progress.best_measures = measures
            progress.validations_without_best = 0
            weights = sharding.full(self.evaluated_model().state_dict())
            if self.world.is_main:
                self.unsaved_best = {name: tensor.clone() for name, tensor in weights.items()}
        else:
            progress.validations_without_best += 1
        if self.reporter is not None and not math.isnan(value):
            others_do_better = self.reporter.report(progress.step, value)
            # At the last step there is nothing left to save.
            progress.pruned = others_do_better and progress.step < self.total_steps
        (progress.pruned,) = self.world.any(progress.pruned)
        if progress.pruned:
            log.info("Stopping early: others do better (pruned).")
            progress.finished = True
        elif not better and self._is_stuck():
            log.info(
                "Stopping early: no new best in %d validations.", progress.validations_without_best
            )
            progress.finished = True

    def _is_stuck(self) -> bool:
        """Whether it is time to stop early."""
        patience = self.cfg.early_stopping or math.inf
        return self.progress.validations_without_best >= patience

    def _record(self, measures: dict[str, float]) -> None:
        self.run_log.record(self.progress.step, measures)
        validated = {name: value for name, value in measures.items() if name.startswith("val_")}
        if validated:
            self.run_log.line(self.progress.step, validated)

    def _save(self, lr: float) -> None:
        self._check_losses()
        if not all(bool(p.isfinite().all()) for p in self.model.parameters()):
            self._fail("largest weight", math.nan, self.progress.step, lr)
        progress = self.progress
        progress.unread = self.losses.read()
        self._save_best()
        random = self.world.all_gather(random_state(self.device))
        tensors, plain = flatten_optimizer(self.optimizer, self.model)
        weights, tensors = sharding.full(self.model.state_dict()), sharding.full(tensors)
        average = {} if self.ema is None else sharding.full(self.ema.model.state_dict())
        if not self.world.is_main:
            return
        state = {f"optimizer/{name}": tensor for name, tensor in tensors.items()}
        for rank, generators in enumerate(random):
            state |= {f"{_random_of(rank)}{name}": t for name, t in generators.items()}
        state |= {f"ema/{name}": tensor for name, tensor in average.items()}
        info = {
            "progress": attrs.asdict(progress),
            "optimizer": plain,
            "optimizer_name": self.optimizer_name,
            "scaler": self.scaler.state_dict(),
            "total_steps": self.total_steps,
            "processes": self.world.size,
            "wandb_id": self.run_log.wandb_id,
        }
        self.checkpoints.save(progress.step, weights, state, info)


def _refuse_lone_examples(model: nn.Module, train: Split[Any], processes: int) -> None:
    if len(train) // train.num_batches // processes > 1:
        return
    if any(isinstance(module, nn.BatchNorm1d) for module in model.modules()):
        raise UserError(_ONE_VALUE.format(two=2 * processes))


def _total_steps(cfg: TrainingCfg, steps_per_epoch: int) -> int:
    limits = [cfg.max_steps] if cfg.max_steps is not None else []
    if cfg.epochs is not None:
        limits.append(cfg.epochs * steps_per_epoch)
    return min(limits)


def _validation_interval(cfg: TrainingCfg, steps_per_epoch: int) -> int:
    if isinstance(cfg.val_every, float):
        return max(1, round(cfg.val_every * steps_per_epoch))
    return cfg.val_every


def _random_of(rank: int) -> str:
    """Where the random generators of a process are in the state."""
    return f"random/{rank}/" if rank else "random/"


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
