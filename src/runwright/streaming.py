"""Splits that are gathered batch by batch while the training goes on."""

import copy
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final, Generic, TypeVar

import torch
from typing_extensions import override

from runwright.batching import Batched
from runwright.data import Batch
from runwright.workers import Workers

B = TypeVar("B", bound=Batch)

# How many batches are gathered before they are asked for, by a thread or by each process.
_AHEAD: Final = 2

# Seconds that a worker gets to finish what is no longer wanted.
_PATIENCE: Final = 10.0


class Streamed(Batched[B], ABC, Generic[B]):
    """A split whose batches are gathered from files, a memory map, or wherever they are kept.

    A subclass defines `gather`. While one batch is trained on, the next ones are gathered: by a
    thread, or by `num_workers` processes, which are started in the first epoch and kept. What is
    gathered is a function of the plan of the epoch, `order(epoch)`, so the batches are the same
    for any number of processes and wherever a run goes on.
    """

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
            num_examples: how many there are.
            batch_size: examples a batch.
            shuffle_seed: what the order of each epoch depends on, or None to keep it.
            device: where the batches are wanted.
            num_workers: processes that gather; 0 is a thread of this one.

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

        It runs in another thread or process. What it draws must come from a generator of its own,
        such as `numpy.random.default_rng([seed, epoch, position])`.

        Args:
            positions: (B,), int64, a part of `order(epoch)`.
            epoch: the number of the epoch.
        """

    def on_device(self, batch: B) -> B:
        """What is left to do with a batch on the training device, such as to normalise it."""
        return batch

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """A tensor for `gather` to fill, where the copy to the device is fastest from."""
        return torch.empty(tuple(shape), dtype=dtype, pin_memory=self._pins)

    @override
    def batches(self, epoch: int, start: int = 0) -> Iterator[B]:
        order = self.order(epoch)
        workers = self._started_workers()
        count = workers.count if workers is not None else 1
        ahead: deque[Future[B]] = deque()
        threads = ThreadPoolExecutor(count, thread_name_prefix="batches")
        try:
            for cut in self.cuts(start):
                ahead.append(threads.submit(self._gathered, workers, order[cut], epoch))
                if len(ahead) > _AHEAD * count:
                    yield self._moved(ahead.popleft())
            while ahead:
                yield self._moved(ahead.popleft())
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            if workers is not None:
                running = [future for future in ahead if not future.cancelled()]
                if wait(running, timeout=_PATIENCE).not_done:
                    workers.close()
            threads.shutdown()

    @property
    def _pins(self) -> bool:
        """Whether batches are page-locked: only then is the copy to a GPU asynchronous."""
        return self.device.type == "cuda"

    def _started_workers(self) -> Workers[B] | None:
        if not self.num_workers:
            return None
        if self.workers is None or self.workers.is_closed:
            theirs = copy.copy(self)  # a worker has no device, and no workers
            theirs.device, theirs.workers = torch.device("cpu"), None
            self.workers = Workers(theirs.gather, self.num_workers)
        return self.workers

    def _gathered(self, workers: Workers[B] | None, positions: torch.Tensor, epoch: int) -> B:
        gather = self.gather if workers is None else workers.gather
        batch = gather(positions, epoch)
        return batch.pin_memory() if self._pins else batch

    def _moved(self, gathered: Future[B]) -> B:
        return self.on_device(gathered.result().to(self.device))
