"""The processes that train one model together, each on its share of every batch.

`torchrun --nproc-per-node=4 main.py …` starts them, or Slurm does, with several tasks a job. What
is sent between them is torch.distributed's business; this module says who takes part, and gives
the few exchanges that a training needs.
"""

import contextlib
import datetime
import itertools
import logging
import os
from collections.abc import Generator, Iterable
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import attrs
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import (
    rendezvous,  # pyright: ignore[reportUnknownVariableType]  # torch does not say what it yields
)

from runwright.errors import UserError

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

log = logging.getLogger(__name__)

T = TypeVar("T")

_BATCH_NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_TIMEOUT: Final = datetime.timedelta(minutes=30)
_groups = itertools.count()


@attrs.frozen(kw_only=True)
class World:
    """One of the processes; by default the only one.

    Attributes:
        rank: the number of this process, 0 being the one that writes.
        size: how many there are.
        local_rank: its number on this machine.
        device: where this process trains.
        control: the group that exchanges decisions, between CPUs; None for a single process.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    device: torch.device = attrs.field(factory=partial(torch.device, "cpu"))
    control: "ProcessGroup | None" = None

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run directory."""
        return self.rank == 0

    def any(self, *flags: bool) -> list[bool]:
        """Of each flag, whether it is set in any process."""
        if self.size == 1:
            return list(flags)
        raised = torch.tensor(flags, dtype=torch.int32)
        dist.all_reduce(raised, op=dist.ReduceOp.MAX, group=self.control)
        return [bool(flag) for flag in cast("list[int]", raised.tolist())]

    def broadcast(self, value: T) -> T:
        """What the main process holds, for all."""
        if self.size == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held, src=0, group=self.control)
        return held[0]

    def all_gather(self, value: T) -> list[T]:
        """What every process holds, in the order of their ranks."""
        if self.size == 1:
            return [value]
        held: list[Any] = [None] * self.size
        dist.all_gather_object(held, value, group=self.control)
        return held

    def all_reduce(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over the processes."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)

    def broadcast_buffers(self, model: nn.Module) -> None:
        """Give every process the buffers of the main one, such as running statistics."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)

    def draw_differently(self, seed: int) -> None:
        """Let every process draw its own dropout, the first as if it were alone."""
        if not self.is_main:
            torch.manual_seed(seed + self.rank)

    @contextlib.contextmanager
    def main_first(self) -> Generator[None]:
        """Let the main process do something before the others, such as filling a cache."""
        if not self.is_main:
            self.barrier()
        try:
            yield
        finally:
            if self.is_main:
                self.barrier()

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier(group=self.control)


@contextlib.contextmanager
def joined(gpu: int) -> Generator[World]:
    """Join the other processes, if this one was started together with others.

    Args:
        gpu: −1 to train on CPUs, which talk by Gloo; CUDA devices talk by NCCL.

    Raises:
        UserError: there are fewer devices on this machine than processes.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    on_cuda = gpu >= 0 and torch.cuda.is_available()
    if on_cuda:
        count = torch.cuda.device_count()
        if local_rank >= count:
            raise UserError(
                f"Process {local_rank} of this machine has no CUDA device of its own: there are "
                f"{count}. Start as many processes as there are devices."
            )
        torch.cuda.set_device(local_rank)
    store, rank = _meeting_place()
    dist.init_process_group(
        "nccl" if on_cuda else "gloo",
        # The jobs of a multirun meet in one store, where each must not find what the last one left.
        store=PrefixStore(f"group {next(_groups)}", store),
        rank=rank,
        world_size=size,
        timeout=_TIMEOUT,
    )
    try:
        yield World(
            rank=dist.get_rank(),
            size=size,
            local_rank=local_rank,
            device=torch.device("cuda", local_rank) if on_cuda else torch.device("cpu"),
            control=cast("ProcessGroup", dist.new_group(backend="gloo", timeout=_TIMEOUT)),
        )
    finally:
        dist.destroy_process_group()


@cache
def _meeting_place() -> tuple[Store, int]:
    """The store in which the processes find each other, and the rank of this one."""
    store, rank, _ = next(rendezvous("env://", timeout=_TIMEOUT))
    return store, rank


def mean_weight(weight: Tensor) -> Tensor:
    """The mean over the processes of what their shares of a batch weigh.

    A weighted sum over a share, divided by this, has the weighted mean of the whole batch as its
    mean over the processes.
    """
    if not dist.is_initialized():
        return weight
    total = weight.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()
