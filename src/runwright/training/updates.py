"""Updates of the weights: forward, backward, clip, step of the optimisers."""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from runwright.data import Batch
from runwright.device.distributed import World
from runwright.errors import UserError
from runwright.optimizers.own_step import Losses, StepObjective
from runwright.training.built import Built
from runwright.training.evaluation import autocast
from runwright.training.losses import LossNames
from runwright.training.parallel import (
    average_gradients,
    data_parallel,
    missing_gradients,
    no_sync,
    refuse_missing_gradients,
)

if TYPE_CHECKING:
    from runwright.config import Precision

B = TypeVar("B", bound=Batch)

ONE_VALUE: Final = (
    "Batch normalisation gets only one value per channel, which has no variance. Use a larger "
    "batch size (such as dm.batch_size={two}), or a model without batch normalisation."
)


class Updater(Generic[B]):
    """Updates the parameters of optimisers, each time from as many batches as are accumulated.

    Attributes:
        optimizers: the optimisers by name.
        scaler: keeps small gradients from vanishing with fp16; does nothing otherwise.
        num_batches: how many batches make one update.
        grad_norm: the norm of the last update's gradients before clipping, on the device; None if
            it is not asked for.
    """

    def __init__(self, built: Built[B], world: World) -> None:
        """Build the optimisers; with several processes, divide the work among them.

        Raises:
            UserError: the options do not fit the model.
        """
        cfg = built.config.training
        self._model = built.model
        self._is_own = isinstance(built.objective, StepObjective)
        self._parallel_model = data_parallel(
            self._model,
            world,
            sharded=cfg.parallel == "fsdp",
            find_unused_parameters=cfg.find_unused_parameters,
            is_wrapped=not self._is_own,
        )
        self.optimizers = built.config.opt.optimizers(self._model)
        self.scaler = torch.amp.GradScaler(
            built.runtime.device.type, enabled=cfg.precision == "fp16"
        )
        self.num_batches = cfg.accumulate_grad_batches
        self._names: dict[str, LossNames] = {}
        self._is_first = True
        self._device = built.runtime.device
        self._world = world
        self._precision: Precision = cfg.precision
        self._clip_grad = cfg.clip_grad
        self._tracks_grad_norm = "grad_norm" in cfg.track
        self.grad_norm: Tensor | None = None

    def update(
        self,
        losses: Losses[B],
        batches: Iterator[B],
        optimizers: Collection[Optimizer],
        *,
        number: int,
        loss: str = "loss",
    ) -> list[dict[str, Tensor]]:
        """Update the parameters of some optimisers once.

        Args:
            losses: gives the losses of a batch.
            batches: the next batches.
            optimizers: the optimisers.
            number: the number of the step, from 0.
            loss: the name of the loss that is minimised.

        Returns:
            The losses of each batch, still on the device.
        """
        which = f"{getattr(losses, '__qualname__', type(losses).__name__)} {loss}"
        names = self._names.setdefault(which, LossNames(self._world, minimised=loss))
        found: list[dict[str, Tensor]] = []
        for remaining in reversed(range(self.num_batches)):
            # The gradients are synced with the last batch.
            with self._without_sync() if remaining else contextlib.nullcontext():
                with autocast(self._device, self._precision):
                    computed = self._losses(losses, next(batches))
                names.check(computed, number)
                value = computed[loss]
                if self.num_batches > 1:  # a division by 1 would add a node to the graph
                    value = value / self.num_batches
                self.scaler.scale(value).backward()
            found.append(names.detached(computed))
        if self._is_first:
            refuse_missing_gradients(self._parallel_model)
            self._is_first = False
        if self._is_own:
            average_gradients(parameters_of(optimizers), self._world)
        groups = (group for one in optimizers for group in one.param_groups)
        if any(p.grad is not None for group in groups for p in group["params"]):  # not all frozen
            all_of_them = _as_one(optimizers)
            if self._clip_grad is not None or self._tracks_grad_norm:
                self.scaler.unscale_(all_of_them)
                norm = clip_grad_norm(self._model.parameters(), self._clip_grad)
                self.grad_norm = norm if self._tracks_grad_norm else None
            self.scaler.step(all_of_them)
            self.scaler.update()
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        return found

    def _without_sync(self) -> contextlib.AbstractContextManager[None]:
        if self._is_own:
            return contextlib.nullcontext()
        return no_sync(self._parallel_model, self._world)

    def _losses(self, losses: Losses[B], batch: B) -> Mapping[str, Tensor]:
        try:
            return losses(self._parallel_model, batch)
        except ValueError as error:
            if not str(error).startswith("Expected more than 1 value per channel"):  # torch's
                raise
            raise UserError(ONE_VALUE.format(two=2 * self._world.size)) from error
        except RuntimeError as error:
            if (explained := missing_gradients(self._parallel_model, error)) is None:
                raise
            raise explained from error


class _Together:
    """Several optimisers as one: with fp16, all of them take a step or none does."""

    def __init__(self, optimizers: Collection[Optimizer]) -> None:
        self._optimizers = optimizers

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for one in self._optimizers for group in one.param_groups]

    def step(self) -> None:
        for one in self._optimizers:
            one.step()


def _as_one(optimizers: Collection[Optimizer]) -> Optimizer:
    if len(optimizers) == 1:
        return next(iter(optimizers))
    # It has all that a scaler of gradients uses of an optimiser.
    return cast("Optimizer", _Together(optimizers))


def clip_grad_norm(parameters: Iterable[nn.Parameter], max_norm: float | None) -> Tensor:
    """Scale the gradients down to a norm, if there is one; return what their norm was."""
    those = list(parameters)
    if max_norm is not None:
        return nn.utils.clip_grad_norm_(those, max_norm)
    return nn.utils.get_total_norm([p.grad for p in those if p.grad is not None])


def parameters_of(optimizers: Iterable[Optimizer]) -> list[nn.Parameter]:
    """The parameters of some optimisers, in order."""
    return [p for one in optimizers for group in one.param_groups for p in group["params"]]
