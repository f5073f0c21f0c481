"""Sharded models, of which every process holds a part: torch's FSDP2.

Weights, gradients and the optimiser's state are sharded over the processes; a module's weights are
gathered while it computes. On disk everything is whole, so a training can be resumed with another
number of processes, or without sharding.

Importing FSDP2 takes half a second, so nothing here does so before a model is sharded.
"""

import contextlib
import sys
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def shard(model: nn.Module, device: "torch.device", processes: int) -> None:
    """Shard a model's weights over the processes, in place.

    Every block that is a member of a `ModuleList` or `Sequential` is gathered by itself when its
    turn comes; weights outside of these stay gathered for the whole forward pass.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (processes,))
    for block in _blocks(model):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def is_sharded(model: nn.Module) -> bool:
    """Whether every process holds only a part of the model."""
    if not _may_be_sharded():
        return False
    from torch.distributed.fsdp import FSDPModule

    return isinstance(model, FSDPModule)


@contextlib.contextmanager
def no_sync(model: nn.Module) -> Generator[None]:
    """Within this context the backward passes of a sharded model do not sync gradients."""
    from torch.distributed.fsdp import FSDPModule

    assert isinstance(model, FSDPModule)
    model.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        model.set_requires_gradient_sync(True)


def full(tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Every sharded tensor gathered, on the CPU; all processes must call it together."""
    if not _may_be_sharded():
        return dict(tensors)
    from torch.distributed.tensor import DTensor

    return {
        name: tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor
        for name, tensor in tensors.items()
    }


def shard_like(tensor: "Tensor", like: "Tensor") -> "Tensor":
    """This process's part of a tensor, sharded like `like`; all of it if `like` is whole."""
    if not _may_be_sharded():
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(
        tensor.to(like.device),
        like.device_mesh,
        like.placements,
        src_data_rank=None,  # every process has read all of it
    )


def _may_be_sharded() -> bool:
    """Whether a model may have been sharded in this process."""
    return "torch.distributed.fsdp" in sys.modules


def _blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The modules to shard by themselves, the inner ones first."""
    uses = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
    for container in reversed(list(model.modules())):
        if isinstance(container, nn.ModuleList | nn.Sequential):
            for block in container:
                own = list(block.parameters())
                # Weights that are shared with other modules must be there when those compute.
                if own and all(uses[id(parameter)] == 1 for parameter in own):
                    yield block
