"""Whether the steps of a training can be captured, as far as that is known before the first."""

import logging
from collections.abc import Iterable, Iterator
from typing import Any, Final

import torch
from torch import nn
from torch.optim import SGD, Optimizer

from runwright.device.distributed import World
from runwright.errors import UserError
from runwright.model import FittedModel
from runwright.optimizers.own_step import StepObjective

log = logging.getLogger(__name__)

_NOT_CAPTURED: Final = "The steps are not captured as a CUDA graph: {reason}."
_IS_REQUIRED: Final = (
    "training.cuda_graph=true, but the steps cannot be captured: {reason}. With null, the default, "
    "they are captured only where they can be."
)


def why_not(
    device: torch.device,
    world: World,
    model: nn.Module,
    objective: Any,
    optimizers: Iterable[Optimizer],
) -> str | None:
    """What stands against capturing the steps; None if nothing is known to."""
    return next(_against(device, world, model, objective, optimizers), None)


def _against(
    device: torch.device,
    world: World,
    model: nn.Module,
    objective: Any,
    optimizers: Iterable[Optimizer],
) -> Iterator[str]:
    if device.type != "cuda":
        yield f"that needs a CUDA device, and this is {device.type}"
    if world.size > 1:
        yield "several processes train together"
    if isinstance(model, FittedModel):
        yield "the model is fitted without gradients"
    if isinstance(objective, StepObjective):
        yield "the objective has a step of its own"
    for module in model.modules():
        if isinstance(module, nn.RNNBase) and module.dropout and module.num_layers > 1:
            # It keeps their state, and begins another one whenever torch's generator is set.
            yield f"cuDNN draws the dropout between the layers of {type(module).__name__}"
    for one in optimizers:
        if not _is_capturable(one):
            yield f"{type(one).__name__} of this kind does not support it"


def say(reason: str, *, is_required: bool) -> None:
    """Say why the steps are not captured.

    Raises:
        UserError: the user has asked for captured steps.
    """
    if is_required:
        raise UserError(_IS_REQUIRED.format(reason=reason))
    log.info(_NOT_CAPTURED.format(reason=reason))


def _is_capturable(optimizer: Optimizer) -> bool:
    """Whether a step of it can be captured with its learning rate in a tensor."""
    if isinstance(optimizer, SGD):  # others than the fused one read the learning rate
        return all(group["fused"] for group in optimizer.param_groups)
    return all("capturable" in group for group in optimizer.param_groups)
