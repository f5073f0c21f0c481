"""A training step: one update of the weights."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import torch
from torch import Tensor, nn

from runwright.data import Batch, Split
from runwright.distributed import World
from runwright.errors import UserError
from runwright.training.built import Built
from runwright.training.ema import MovingAverage
from runwright.training.evaluation import autocast
from runwright.training.losses import LossNames
from runwright.training.parallel import (
    data_parallel,
    missing_gradients,
    no_sync,
    refuse_missing_gradients,
)

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from runwright.config import Precision

B = TypeVar("B", bound=Batch)

_ONE_VALUE: Final = (
    "Batch normalisation gets only one value per channel, which has no variance. Use a larger "
    "batch size (such as dm.batch_size={two}), or a model without batch normalisation."
)


class TrainStep(Generic[B]):
    """Forward, backward, clip, update; then the moving average is updated.

    Attributes:
        model: the model to train.
        ema: the moving average of its weights, if there is one.
        optimizer: updates them.
        scaler: keeps small gradients from vanishing with fp16; does nothing otherwise.
        total_steps: the number of steps of the whole training, which the schedule spans.
    """

    def __init__(self, built: Built[B], total_steps: int, world: World) -> None:
        """Build the optimiser; with several processes, divide the work among them.

        Raises:
            UserError: the options do not fit the model or the data.
        """
        opt, cfg = built.config.opt, built.config.training
        _refuse_lone_examples(built.model, built.data.train, world.size)
        self.model = built.model
        self.total_steps = total_steps
        self.ema = MovingAverage(self.model, cfg.ema_decay) if cfg.ema_decay is not None else None
        sharded = cfg.parallel == "fsdp"
        self._parallel_model = data_parallel(
            self.model,
            world,
            sharded=sharded,
            find_unused_parameters=cfg.find_unused_parameters,
        )
        if self.ema is not None and sharded:
            data_parallel(self.ema.model, world, sharded=True)
        self.optimizer: Optimizer = opt.build(self.model)
        self.scaler = torch.amp.GradScaler(
            built.runtime.device.type, enabled=cfg.precision == "fp16"
        )
        self._lr_factor = opt.lr_factor(total_steps)
        self._peak_lrs: list[float] = [group["lr"] for group in self.optimizer.param_groups]
        self._objective = built.objective
        self._names = LossNames(world)
        self._is_first = True
        self._device = built.runtime.device
        self._world = world
        self._precision: Precision = cfg.precision
        self._num_batches = cfg.accumulate_grad_batches
        self._clip_grad = cfg.clip_grad

    def __call__(self, number: int, batches: Iterator[B]) -> list[dict[str, Tensor]]:
        """Do this step, counted from 0, with the next batches.

        Returns:
            The losses of each batch, still on the device.
        """
        self._set_lr(number)
        losses: list[dict[str, Tensor]] = []
        for remaining in reversed(range(self._num_batches)):
            # The gradients are synced with the last batch of a step.
            last = not remaining
            with contextlib.nullcontext() if last else no_sync(self._parallel_model, self._world):
                with autocast(self._device, self._precision):
                    computed = self._losses(next(batches))
                self._names.check(computed, number)
                loss = computed["loss"]
                if self._num_batches > 1:  # a division by 1 would add a node to the graph
                    loss = loss / self._num_batches
                self.scaler.scale(loss).backward()
            losses.append(self._names.detached(computed))
        if self._is_first:
            refuse_missing_gradients(self._parallel_model)
            self._is_first = False
        if self._clip_grad is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self._clip_grad)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update(self.model)
        return losses

    def lr(self, number: int) -> float:
        """The learning rate in this step, counted from 0."""
        return self._peak_lrs[0] * self._lr_factor(number)

    @property
    def evaluated_model(self) -> nn.Module:
        """The model to validate, and to save as best: the moving average if there is one."""
        return self.model if self.ema is None else self.ema.model

    def _set_lr(self, number: int) -> None:
        factor = self._lr_factor(number)
        for group, peak in zip(self.optimizer.param_groups, self._peak_lrs, strict=True):
            group["lr"] = peak * factor

    def _losses(self, batch: B) -> dict[str, Tensor]:
        try:
            return self._objective.losses(self._parallel_model, batch)
        except ValueError as error:
            if not str(error).startswith("Expected more than 1 value per channel"):  # torch's
                raise
            raise UserError(_ONE_VALUE.format(two=2 * self._world.size)) from error
        except RuntimeError as error:
            if (explained := missing_gradients(self._parallel_model, error)) is None:
                raise
            raise explained from error


def _refuse_lone_examples(model: nn.Module, train: Split[Any], processes: int) -> None:
    if len(train) // train.num_batches // processes > 1:
        return
    if any(isinstance(module, nn.BatchNorm1d) for module in model.modules()):
        raise UserError(_ONE_VALUE.format(two=2 * processes))
