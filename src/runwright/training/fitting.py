"""Steps of models that are fitted by statistics of the training data, without gradients."""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from runwright.config import TrainingCfg
from runwright.data import Batch
from runwright.errors import UserError
from runwright.model import FittedModel
from runwright.objective import Objective
from runwright.optimizers.own_step import StepObjective

B = TypeVar("B", bound=Batch)


class Fitting(Generic[B]):
    """Shows the model the batches of a step."""

    def __init__(self, model: nn.Module, objective: Objective[B], cfg: TrainingCfg) -> None:
        """Prepare the steps of a `FittedModel`, which `check_fitting` has found to be one."""
        self._model = model
        self._losses = objective.losses
        self._num_batches = cfg.accumulate_grad_batches

    def __call__(self, batches: Iterator[B]) -> list[dict[str, Tensor]]:
        """Observe the batches of a step; returns the losses of each, with what was known before."""
        assert isinstance(self._model, FittedModel)
        found: list[dict[str, Tensor]] = []
        with torch.no_grad():
            for _ in range(self._num_batches):
                batch = next(batches)
                self._model.observe(batch)
                found.append(dict(self._losses(self._model, batch)))
        return found


def check_fitting(model: nn.Module, objective: Any, cfg: TrainingCfg, processes: int) -> None:
    """Make sure that a model which is fitted without gradients can be, if it is one.

    Raises:
        UserError: it has parameters, or an option would do nothing.
    """
    if not isinstance(model, FittedModel):
        return
    name = type(model).__name__
    if trained := [name for name, p in model.named_parameters() if p.requires_grad]:
        raise UserError(
            f"{name} is a FittedModel, which has no gradients, but has the trainable parameter "
            f"{trained[0]}. Keep what it observes in buffers (register_buffer)."
        )
    if processes > 1:
        raise UserError(f"{name} is fitted by one process, not by {processes}; leave out torchrun.")
    if cfg.ema_decay is not None:
        raise UserError(f"training.ema_decay must be null: {name} is fitted, it has no weights.")
    if isinstance(objective, StepObjective):
        raise UserError(f"{name} is fitted without gradients; the objective has a step of its own.")
