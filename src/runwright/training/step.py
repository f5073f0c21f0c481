"""A training step: what it takes to get from one state of the weights to the next."""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

from runwright.config import chosen_name
from runwright.data import Batch, Split
from runwright.distributed import World
from runwright.errors import UserError
from runwright.model import FittedModel
from runwright.optimizers.optimizer_factory import FactorSchedule, Schedule
from runwright.optimizers.own_step import StepObjective
from runwright.training.built import Built
from runwright.training.ema import MovingAverage
from runwright.training.fitting import Fitting, check_fitting
from runwright.training.own_steps import OwnSteps, check_own_step
from runwright.training.parallel import data_parallel
from runwright.training.updates import ONE_VALUE, Updater

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

    def __call__(self, number: int, batches: Iterator[B]) -> list[dict[str, Tensor]]:
        """Do this step, counted from 0, with the next batches.

        Returns:
            The losses of each batch, or their means over a step of one's own, still on the device.
        """
        self.schedule.set_lr(number)
        if self._fitting is not None:
            return self._fitting(batches)
        if self._own is not None:
            losses = [self._own(number, batches)]
        else:
            losses = self._updater.update(self._objective.losses, batches, self._all, number=number)
        if self.ema is not None:
            self.ema.update(self.model)
        return losses

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
