"""Cutting a split into batches, and splits whose examples are in memory."""

import copy
from collections.abc import Iterator
from typing import Generic, Self, TypeVar

import numpy as np
import torch
from typing_extensions import override

from runwright.data.interface import Batch, Split
from runwright.errors import UserError

B = TypeVar("B", bound=Batch)


def epoch_order(num_examples: int, *, seed: int, epoch: int) -> torch.Tensor:
    """The order of the examples in an epoch: a permutation that depends on (seed, epoch) alone."""
    return torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(num_examples))


class Batched(Split[B], Generic[B]):
    """A split whose batches are cut from the order of its examples."""

    def __init__(self, num_examples: int, *, batch_size: int, shuffle_seed: int | None) -> None:
        """Divide `num_examples` into batches.

        Args:
            num_examples: number of examples.
            batch_size: examples per batch.
            shuffle_seed: reshuffles in every epoch, and drops the last, smaller batch; None
                keeps the order and all examples.
        """
        self.num_examples = num_examples
        self.batch_size = batch_size
        self.shuffle_seed = shuffle_seed
        self.rank, self.ranks = 0, 1

    @override
    def __len__(self) -> int:
        return self.num_examples

    @property
    @override
    def num_batches(self) -> int:
        """The number of batches in an epoch.

        Raises:
            UserError: shuffled examples do not fill one. Only who trains with them asks: a stage on
                another split of small data must not be stopped.
        """
        if self.shuffle_seed is not None and self.num_examples < self.batch_size:
            raise UserError(
                f"The training split has {self.num_examples} examples, fewer than one batch of "
                f"{self.batch_size}. Use a smaller batch size, e.g. "
                f"dm.batch_size={max(1, self.num_examples)}."
            )
        full, rest = divmod(self.num_examples, self.batch_size)
        return full if self.shuffle_seed is not None else full + (rest > 0)

    @override
    def each_once(self) -> Self:
        """The same examples in their own order, down to the last."""
        one = copy.copy(self)
        one.shuffle_seed = None
        return one

    def order(self, epoch: int) -> torch.Tensor:
        """The positions of the examples in an epoch, (num_examples,), int64."""
        if self.shuffle_seed is None:
            return torch.arange(self.num_examples)
        return epoch_order(self.num_examples, seed=self.shuffle_seed, epoch=epoch)

    def cuts(self, start: int) -> Iterator[slice]:
        """Where each batch is in the order, starting at batch number `start`."""
        for number in range(start, self.num_batches):
            first = number * self.batch_size
            yield slice(*share_of(first, first + self.batch_size, self.rank, self.ranks))


def share_of(first: int, end: int, rank: int, ranks: int) -> tuple[int, int]:
    """Part `rank` of a range that is divided into `ranks` parts."""
    length = end - first
    return first + length * rank // ranks, first + length * (rank + 1) // ranks


class InMemory(Batched[B], Generic[B]):
    """All examples in the tensors of one batch, on the training device; batches index into it."""

    def __init__(self, examples: B, *, batch_size: int, shuffle_seed: int | None) -> None:
        """Cut `examples`, which are already on the training device, into batches; see `Batched`.

        Raises:
            UserError: the attributes differ in length.
        """
        examples.check_lengths()
        super().__init__(len(examples), batch_size=batch_size, shuffle_seed=shuffle_seed)
        self.examples = examples

    @override
    def batches(self, epoch: int, start: int = 0) -> Iterator[B]:
        if self.shuffle_seed is None:
            yield from (self.examples.select(cut) for cut in self.cuts(start))
            return
        yield from map(self.examples.select, self.positions(epoch, start))

    def positions(self, epoch: int, start: int = 0) -> Iterator[torch.Tensor]:
        """Which examples are in each batch of an epoch, (B,), int64, on their device."""
        order = self.order(epoch).to(self.examples.device)
        yield from (order[cut] for cut in self.cuts(start))
