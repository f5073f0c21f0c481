"""A model as several processes train it: each holds the whole, or a shard of it."""

import contextlib
import logging
import re
from collections.abc import Sequence
from typing import Final, cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from runwright.device.distributed import World
from runwright.errors import UserError
from runwright.training import sharding

log = logging.getLogger(__name__)

_BATCH_NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

_NO_GRADIENT: Final = (
    "Parameters that got no gradient in a step: {names}. With several processes every parameter "
    "must get one in every step, or all wait for it for ever. If the objective leaves some out on "
    "purpose, take training.find_unused_parameters=true, which looks for them in every step; "
    "those that never get one are better frozen (requires_grad=False) or left out of the model."
)
_MOST_NAMES: Final = 8


def data_parallel(
    model: nn.Module,
    world: World,
    *,
    sharded: bool = False,
    find_unused_parameters: bool = False,
    is_wrapped: bool = True,
) -> nn.Module:
    """The model for training: its gradients are averaged over the processes.

    Args:
        model: the model to train; changed in place if it is sharded.
        world: the processes.
        sharded: whether each process holds only a part of it.
        find_unused_parameters: whether a step may leave parameters without a gradient.
        is_wrapped: whether its backward passes average the gradients, which needs a forward pass
            of the whole; else `average_gradients` does.

    Raises:
        UserError: it cannot be sharded.
    """
    if world.size == 1:
        return model
    if world.device.type == "cuda":
        model = cast("nn.Module", nn.SyncBatchNorm.convert_sync_batchnorm(model))
    elif any(isinstance(module, _BATCH_NORMS) for module in model.modules()):
        if sharded:
            raise UserError(
                "training.parallel=fsdp: on CPUs batch normalisation would have different "
                "statistics in every process. Use a model without it, or ddp."
            )
        log.warning(
            "Batch normalisation takes its statistics from each process's share of a batch: "
            "on CPUs torch cannot put them together."
        )
    if sharded:
        sharding.shard(model, world.device, world.size)
        return model
    if not is_wrapped:
        return model
    return DistributedDataParallel(model, find_unused_parameters=find_unused_parameters)


def average_gradients(parameters: Sequence[nn.Parameter], world: World) -> None:
    """Replace each gradient by its mean over the processes, in which none counts as zero."""
    if world.size == 1:
        return
    present = torch.tensor([float(p.grad is not None) for p in parameters], device=world.device)
    world.all_reduce([present])
    counts = cast("list[float]", present.tolist())
    trained = [p for p, count in zip(parameters, counts, strict=True) if count]
    for dtype in dict.fromkeys(p.dtype for p in trained):  # one message for all of a kind
        ours = [p for p in trained if p.dtype == dtype]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in ours]
        flat = torch.cat([grad.reshape(-1) for grad in grads])
        world.all_reduce([flat])
        parts: list[torch.Tensor] = list(torch.split(flat / world.size, [g.numel() for g in grads]))  # pyright: ignore[reportUnknownArgumentType]  # torch's
        for parameter, grad, part in zip(ours, grads, parts, strict=True):
            parameter.grad = grad.copy_(part.view_as(grad))


def refuse_missing_gradients(model: nn.Module) -> None:
    """Make sure, after the first backward pass, that every parameter got a gradient.

    torch says so only in the next forward pass, by number, after a step that was wrong.

    Raises:
        UserError: one has none, and several processes wait for it.
    """
    if not isinstance(model, DistributedDataParallel) or model.find_unused_parameters:
        return
    if missing := [name for name, p in _trained(model) if p.grad is None]:
        raise _no_gradient(missing)


def missing_gradients(model: nn.Module, error: RuntimeError) -> UserError | None:
    """What to say of an error of torch's, if it is that parameters got no gradient."""
    if not str(error).startswith("Expected to have finished reduction in the prior iteration"):
        return None
    found = re.search(r"did not receive grad for rank \d+: ([\d ]+)", str(error))
    names = [name for name, _ in _trained(model)]
    return _no_gradient([names[int(index)] for index in found[1].split()] if found else ["unknown"])


def _no_gradient(names: Sequence[str]) -> UserError:
    more = len(names) - _MOST_NAMES
    listed = ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    return UserError(_NO_GRADIENT.format(names=listed))


def _trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    named = model.named_parameters()
    return [(name.removeprefix("module."), p) for name, p in named if p.requires_grad]


def no_sync(model: nn.Module, world: World) -> contextlib.AbstractContextManager[None]:
    """Within this context backward passes do not sync gradients; the last one of a step does."""
    if world.size == 1:
        return contextlib.nullcontext()
    if isinstance(model, DistributedDataParallel):
        return model.no_sync()
    return sharding.no_sync(model)
