"""A training step: what it takes to get from one state of the weights to the next."""

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

from runwright.config import chosen_name
from runwright.data import Batch, Split
from runwright.device.distributed import World
from runwright.errors import UserError
from runwright.model import FittedModel
from runwright.optimizers.optimizer_factory import FactorSchedule, Schedule
from runwright.optimizers.own_step import StepObjective
from runwright.optimizers.schedules import Plateau
from runwright.training.built import Built
from runwright.training.capture import possible
from runwright.training.capture.captured_forward import CapturedForward
from runwright.training.capture.captured_step import CapturedStep
from runwright.training.capture.cuda import CudaRecorder
from runwright.training.capture.inputs import batches_to_gather
from runwright.training.ema import MovingAverage
from runwright.training.fitting import Fitting, check_fitting
from runwright.training.own_steps import OwnSteps, check_own_step
from runwright.training.parallel import data_parallel
from runwright.training.updates import ONE_VALUE, Updater

log = logging.getLogger(__name__)

B = TypeVar("B", bound=Batch)


class TrainStep(Generic[B]):
    """Forward, backward, clip, update; then the moving average is updated.

    An objective may have a step of its own, of several updates; see `StepObjective`. A model that
    is fitted without gradients only observes the batches; see `FittedModel`.

    Attributes:
        model: the model to train.
        ema: the moving average of its weights, if there is one.
        optimizers: update them; by name.
        scaler: keeps small gradients from vanishing with fp16; does nothing otherwise.
        schedule: sets the learning rates.
        total_steps: the number of steps of the whole training, which the schedule spans.
        num_losses: how often a step gives each loss.
    """

    def __init__(
        self, built: Built[B], total_steps: int, world: World, *, steps_per_epoch: int
    ) -> None:
        """Build the optimisers; with several processes, divide the work among them.

        Raises:
            UserError: the options do not fit the model or the data.
        """
        opt, cfg, objective = built.config.opt, built.config.training, built.objective
        _refuse_lone_examples(built.model, built.data.train, world.size)
        self.model = built.model
        self.total_steps = total_steps
        self.ema = MovingAverage(self.model, cfg.ema_decay) if cfg.ema_decay is not None else None
        check_fitting(self.model, objective, cfg, world.size)
        self._updater = Updater(built, world)
        if self.ema is not None and cfg.parallel == "fsdp":
            data_parallel(self.ema.model, world, sharded=True)
        self.optimizers = self._updater.optimizers
        self.scaler = self._updater.scaler
        self.schedule: Schedule = FactorSchedule({}, lambda _: 1.0)
        if self.optimizers:  # a model that is fitted without gradients has none
            self.schedule = opt.build_schedule(self.optimizers, total_steps, steps_per_epoch)
        self._all = list(self.optimizers.values())
        self._objective = objective
        self._own: OwnSteps[B] | None = None
        self.num_losses = cfg.accumulate_grad_batches
        self._fitting: Fitting[B] | None = None
        if isinstance(self.model, FittedModel):
            self._fitting = Fitting(self.model, objective, cfg)
        if isinstance(objective, StepObjective):
            check_own_step(objective, cfg, self.optimizers, f"opt={chosen_name(opt)}")
            self._own = OwnSteps(objective, self._updater)
            self.num_losses = 1
        self._captured = self._capturing(built, world)
        self._compiles = cfg.compile
        self._forward: CapturedForward | None = None
        if self._captured and not cfg.compile:  # a compiled model is launched in few pieces anyway
            self._forward = CapturedForward(self._captured.recorder, built.runtime.device)

    def _capturing(self, built: Built[B], world: World) -> CapturedStep[B] | None:
        cfg, device = built.config.training, built.runtime.device
        if cfg.cuda_graph is False:
            return None
        reason = possible.why_not(device, world, self.model, built.objective, self._all)
        if reason is not None:
            if cfg.cuda_graph or device.type == "cuda":
                possible.say(reason, is_required=bool(cfg.cuda_graph))
            return None
        return CapturedStep(
            self.take,
            self._updater,
            {"the model": self.model, "the objective": built.objective, "the average": self.ema},
            CudaRecorder(device),
            device=device,
            precision=cfg.precision,
            is_required=bool(cfg.cuda_graph),
            keeps_hyperparameters=isinstance(self.schedule, FactorSchedule | Plateau),
        )

    def __call__(self, number: int, batches: Iterator[B]) -> list[dict[str, Tensor]]:
        """Do this step, counted from 0, with the next batches.

        Returns:
            The losses of each batch, or their means over a step of one's own, still on the device.
        """
        self.schedule.set_lr(number)
        take = self._captured or self.take
        if not self._compiles:
            return take(number, batches)
        self._compiles, started = False, time.monotonic()
        losses = take(number, batches)
        log.info("The first step took %.1f s, compiling included.", time.monotonic() - started)
        return losses

    def take(self, number: int, batches: Iterator[B]) -> list[dict[str, Tensor]]:
        """The same by Python, once the learning rates are set; a graph may repeat it."""
        if self._fitting is not None:
            return self._fitting(batches)
        if self._own is not None:
            losses = [self._own(number, batches)]
        else:
            losses = self._updater.update(self._objective.losses, batches, self._all, number=number)
        if self.ema is not None:
            self.ema.update(self.model)
        return losses

    def batches(self, split: Split[B], epoch: int, start: int) -> Iterator[Any]:
        """The batches of an epoch, as this step takes them."""
        if self._captured and self._captured.given_up is None:
            return batches_to_gather(split, epoch, start)
        return split.batches(epoch, start)

    def evaluating(self) -> contextlib.AbstractContextManager[None]:
        """Within this context, forward passes of the evaluated model may be replayed."""
        if self._forward is None or self.not_captured is not None:
            return contextlib.nullcontext()
        return self._forward.used_by(self.evaluated_model)

    @property
    def not_captured(self) -> str | None:
        """Why the steps turned out not to be what a CUDA graph can repeat, if they did."""
        return self._captured.given_up if self._captured else None

    def resume_capture(self, not_captured: str | None) -> None:
        """Continue from what `not_captured` was; whoever requires captured steps tries anew."""
        if self._captured and not_captured is not None and not self._captured.is_required:
            self._captured.give_up(not_captured)

    @property
    def grad_norm(self) -> Tensor | None:
        """The norm of the last gradients before clipping; None if it is not tracked."""
        return self._updater.grad_norm

    def lr(self, number: int) -> float:
        """The learning rate of the first optimiser in this step, counted from 0; 0 of none."""
        return next(iter(self.schedule.lrs(number).values()), 0.0)

    @property
    def evaluated_model(self) -> nn.Module:
        """The model to validate, and to save as best: the moving average if there is one."""
        return self.model if self.ema is None else self.ema.model


def batches_per_step(objective: Any) -> int:
    """How often a step takes as many batches as are accumulated."""
    return objective.batches_per_step if isinstance(objective, StepObjective) else 1


def _refuse_lone_examples(model: nn.Module, train: Split[Any], processes: int) -> None:
    if len(train) // train.num_batches // processes > 1:
        return
    if any(isinstance(module, nn.BatchNorm1d) for module in model.modules()):
        raise UserError(ONE_VALUE.format(two=2 * processes))
