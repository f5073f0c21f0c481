"""Splits that are gathered batch by batch during the training."""

import copy
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import Final, Generic, Self, TypeAlias, TypeVar

import torch
from typing_extensions import override

from runwright.data.batching import Batched
from runwright.data.interface import Batch
from runwright.data.workers import Workers

B = TypeVar("B", bound=Batch)

Gather: TypeAlias = Callable[[torch.Tensor, int], B]

# How many batches a thread, or each process, gathers in advance.
_AHEAD: Final = 2

# How many batches may be on a GPU, or on the way there, before it has used the first of them.
_IN_FLIGHT: Final = 4

# Seconds that workers get to finish batches that are no longer needed.
_PATIENCE: Final = 10.0


class Streamed(Batched[B], ABC, Generic[B]):
    """A split whose batches are gathered from files, a memory map, or wherever they are kept.

    A subclass defines `gather`. While one batch is trained on, the next ones are gathered: by a
    thread, or by `num_workers` processes, which are started in the first epoch and kept. What is
    gathered depends only on the plan of the epoch, `order(epoch)`, so the batches are the same for
    any number of processes and wherever a run resumes.

    Attributes:
        in_turns: whether `gather` changes something that the training uses too, such as the global
            random generators, so that without workers the two must take turns.
        in_order: whether `gather` must be called for one batch after the other.
    """

    in_turns: bool = False
    in_order: bool = False

    def __init__(
        self,
        num_examples: int,
        *,
        batch_size: int,
        shuffle_seed: int | None,
        device: torch.device,
        num_workers: int = 0,
    ) -> None:
        """Divide `num_examples` into batches; see `Batched`.

        Args:
            num_examples: number of examples.
            batch_size: examples per batch.
            shuffle_seed: seeds the order of each epoch; None keeps the order.
            device: the training device.
            num_workers: number of processes that gather; 0 uses a thread of this process.

        Raises:
            UserError: shuffled examples do not fill one batch.
        """
        super().__init__(num_examples, batch_size=batch_size, shuffle_seed=shuffle_seed)
        self.device = device
        self.num_workers = num_workers
        self.workers: Workers[B] | None = None

    @abstractmethod
    def gather(self, positions: torch.Tensor, epoch: int) -> B:
        """Gather a batch in main memory.

        It runs in another thread or process, so random numbers must come from a generator of its
        own, such as `numpy.random.default_rng([seed, epoch, position])`.

        Args:
            positions: (B,), int64, a part of `order(epoch)`.
            epoch: the number of the epoch.
        """

    def on_device(self, batch: B) -> B:
        """Process a batch on the training device, e.g. normalise it; does nothing by default."""
        return batch

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """A tensor for `gather` to fill, in the memory that copies to the device fastest."""
        return torch.empty(tuple(shape), dtype=dtype, pin_memory=self._pins)

    @override
    def batches(self, epoch: int, start: int = 0) -> Iterator[B]:
        order = self.order(epoch)
        requests = (order[cut] for cut in self.cuts(start))
        gathered = self._in_turns if self.in_turns and not self.num_workers else self._ahead
        there = self._copied if self._pins else self._moved
        yield from map(self.on_device, there(gathered(requests, epoch)))

    @override
    def each_once(self) -> Self:
        one = super().each_once()
        one.workers = None  # those of this split gather its batches
        return one

    @override
    def as_measured(self) -> Self:
        one = copy.copy(self)
        one.workers = None  # as above
        return one

    def look_at(self, batch: B, positions: torch.Tensor, epoch: int, gather: Gather[B]) -> None:
        """Check the first batch of a pass; the others are made in the same way.

        Args:
            batch: the batch.
            positions: (B,), the positions of its examples.
            epoch: the number of the epoch.
            gather: gathers more batches, in the same process as this one.

        Raises:
            UserError: the attributes do not have one entry per example.
        """
        del epoch, gather
        batch.check_lengths(len(positions))

    def _moved(self, batches: Iterable[B]) -> Iterator[B]:
        return (batch.to(self.device) for batch in batches)

    def _copied(self, batches: Iterable[B]) -> Iterator[B]:
        """Copy batches to a GPU while it computes with those before."""
        copying, current = _copying_to(self.device), torch.cuda.current_stream(self.device)
        used: deque[torch.cuda.Event] = deque()
        for batch in batches:
            with torch.cuda.stream(copying):
                there = batch.to(self.device)
            current.wait_stream(copying)
            for tensor in there.tensors():
                tensor.record_stream(current)  # until then its memory is not used for another
            yield there
            used.append(torch.cuda.Event())
            used[-1].record(current)
            if len(used) > _IN_FLIGHT:  # else Python would run ahead until the memory is full
                used.popleft().synchronize()

    def _in_turns(self, requests: Iterable[torch.Tensor], epoch: int) -> Iterator[B]:
        """Gather each batch when it is needed."""
        for number, positions in enumerate(requests):
            yield self._gathered(self.gather, positions, epoch, is_first=number == 0)

    def _ahead(self, requests: Iterable[torch.Tensor], epoch: int) -> Iterator[B]:
        """Gather the next batches, in order, while one is used."""
        workers = self._started_workers()
        gather, count = (self.gather, 1) if workers is None else (workers.gather, workers.count)
        threads = ThreadPoolExecutor(count, thread_name_prefix="batches")
        ahead: deque[Future[B]] = deque()
        try:
            for number, positions in enumerate(requests):
                first = number == 0
                ahead.append(
                    threads.submit(self._gathered, gather, positions, epoch, is_first=first)
                )
                if len(ahead) > _AHEAD * count:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        except Exception:
            if workers is not None:
                workers.close()  # another try starts new ones
            raise
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            if workers is not None:
                running = [future for future in ahead if not future.cancelled()]
                if wait(running, timeout=_PATIENCE).not_done:
                    workers.close()
            threads.shutdown()

    def _gathered(
        self, gather: Gather[B], positions: torch.Tensor, epoch: int, *, is_first: bool
    ) -> B:
        batch = gather(positions, epoch)
        if is_first:
            self.look_at(batch, positions, epoch, gather)
        return batch.pin_memory() if self._pins else batch

    @property
    def _pins(self) -> bool:
        """Whether batches are page-locked: only then is the copy to a GPU asynchronous."""
        return self.device.type == "cuda"

    def _started_workers(self) -> Workers[B] | None:
        if not self.num_workers:
            return None
        if self.workers is None or self.workers.is_closed:
            theirs = copy.copy(self)  # workers gather on the CPU, and have no workers themselves
            theirs.device, theirs.workers = torch.device("cpu"), None
            self.workers = Workers(theirs.gather, self.num_workers)
        return self.workers


@cache
def _copying_to(device: torch.device) -> torch.cuda.Stream:
    """The stream of all copies to a GPU: memory that one stream has used serves no other."""
    return torch.cuda.Stream(device)
