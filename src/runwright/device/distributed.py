"""The processes that train one model together, each on its share of every batch.

`torchrun --nproc-per-node=4 main.py …` starts them, or Slurm does, with several tasks per job.
torch.distributed does the communication; this module says which processes take part, and offers
the few collectives that a training needs.
"""

import contextlib
import datetime
import itertools
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

T = TypeVar("T")

_TIMEOUT: Final = datetime.timedelta(minutes=30)
_groups = itertools.count()


@attrs.frozen(kw_only=True)
class World:
    """One of the processes; by default the only one.

    Attributes:
        rank: the number of this process; process 0 is the one that writes.
        size: how many processes there are.
        local_rank: its number on this machine.
        device: where this process trains.
        control: the process group for decisions, on CPUs; None for a single process.
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
        """For each flag, whether it is set in any process."""
        if self.size == 1:
            return list(flags)
        raised = torch.tensor(flags, dtype=torch.int32)
        dist.all_reduce(raised, op=dist.ReduceOp.MAX, group=self.control)
        return [bool(flag) for flag in cast("list[int]", raised.tolist())]

    def broadcast(self, value: T) -> T:
        """The value that the main process holds, in every process."""
        if self.size == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held, src=0, group=self.control)
        return held[0]

    def all_gather(self, value: T) -> list[T]:
        """The values of all processes, in order of rank."""
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

    def seed_by_rank(self, seed: int) -> None:
        """Seed each process for dropout of its own; rank 0 draws as if it were alone."""
        if not self.is_main:
            torch.manual_seed(seed + self.rank)

    @contextlib.contextmanager
    def main_first(self) -> Generator[None]:
        """Let the main process run a block before the others, for example to fill a cache."""
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
    """Join the process group, if this process was started as one of several.

    Args:
        gpu: −1 to train on CPUs, which communicate by Gloo; CUDA devices use NCCL.

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
                f"Process {local_rank} on this machine has no CUDA device of its own: there are "
                f"{count}. Start no more processes than there are devices."
            )
        torch.cuda.set_device(local_rank)
    store, rank = _rendezvous_store()
    dist.init_process_group(
        "nccl" if on_cuda else "gloo",
        # The jobs of a multirun share one store; none may find what the previous one left there.
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
def _rendezvous_store() -> tuple[Store, int]:
    """The store in which the processes find each other, and the rank of this one."""
    store, rank, _ = next(rendezvous("env://", timeout=_TIMEOUT))
    return store, rank


def mean_weight(weight: Tensor) -> Tensor:
    """The mean, over the processes, of the total weights of their shares of a batch.

    A weighted sum over a share, divided by this, has the weighted mean of the whole batch as its
    mean over the processes.
    """
    if not dist.is_initialized():
        return weight
    total = weight.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()
