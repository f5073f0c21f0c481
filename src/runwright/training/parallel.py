"""A model as several processes train it: each holds the whole, or a shard of it."""

import contextlib
import logging
from typing import Final, cast

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from runwright.distributed import World
from runwright.errors import UserError
from runwright.training import sharding

log = logging.getLogger(__name__)

_BATCH_NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def data_parallel(model: nn.Module, world: World, *, sharded: bool = False) -> nn.Module:
    """The model for training: its gradients are averaged over the processes.

    Args:
        model: the model to train; changed in place if it is sharded.
        world: the processes.
        sharded: whether each process holds only a part of it.

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
    return DistributedDataParallel(model)


def no_sync(model: nn.Module, world: World) -> contextlib.AbstractContextManager[None]:
    """Within this context backward passes do not sync gradients; the last one of a step does."""
    if world.size == 1:
        return contextlib.nullcontext()
    if isinstance(model, DistributedDataParallel):
        return model.no_sync()
    return sharding.no_sync(model)
