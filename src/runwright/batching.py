"""How splits are cut into batches; splits over examples in memory; limits on splits."""

import copy
from collections.abc import Iterator
from itertools import islice
from typing import Generic, TypeVar

import numpy as np
import torch
from typing_extensions import override

from runwright.data import Batch, Split
from runwright.errors import UserError

B = TypeVar("B", bound=Batch)


def epoch_order(num_examples: int, *, seed: int, epoch: int) -> torch.Tensor:
    """The order of the examples in an epoch: a permutation, a function of (seed, epoch) alone."""
    return torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(num_examples))


class Batched(Split[B], Generic[B]):
    """A split whose batches are cut from the order of its examples; how, is the same for all."""

    def __init__(self, num_examples: int, *, batch_size: int, shuffle_seed: int | None) -> None:
        """Divide `num_examples` into batches.

        Args:
            num_examples: how many there are.
            batch_size: examples a batch.
            shuffle_seed: shuffles anew in every epoch, and drops the last, smaller batch; None
                keeps the order and all examples.

        Raises:
            UserError: shuffled examples do not fill one batch.
        """
        if shuffle_seed is not None and num_examples < batch_size:
            raise UserError(
                f"The training split has {num_examples} examples, fewer than one batch of "
                f"{batch_size}. Use a smaller batch size of the data (such as "
                f"dm.batch_size={num_examples})."
            )
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
        full, rest = divmod(self.num_examples, self.batch_size)
        return full if self.shuffle_seed is not None else full + (rest > 0)

    def order(self, epoch: int) -> torch.Tensor:
        """The positions of the examples in an epoch, (num_examples,), int64."""
        if self.shuffle_seed is None:
            return torch.arange(self.num_examples)
        return epoch_order(self.num_examples, seed=self.shuffle_seed, epoch=epoch)

    def cuts(self, start: int) -> Iterator[slice]:
        """Where in the order each batch lies, from batch number `start` on."""
        for number in range(start, self.num_batches):
            first = number * self.batch_size
            yield slice(*_share(first, first + self.batch_size, self.rank, self.ranks))


def part_of(split: Split[B], rank: int, ranks: int) -> Split[B]:
    """What one of several processes takes of every training batch: an equal share of it.

    Raises:
        UserError: the batch cannot be divided equally.
    """
    if ranks == 1:
        return split
    if isinstance(split, FirstBatches):
        inner = part_of(split.split, rank, ranks)
        return FirstBatches(inner, split.num_batches, same_every_epoch=split.same_every_epoch)
    if not isinstance(split, Batched):
        return PartOfBatches(split, rank, ranks)
    if split.batch_size % ranks:
        raise UserError(
            f"dm.batch_size={split.batch_size} cannot be divided equally among {ranks} processes. "
            f"Use a multiple of {ranks}."
        )
    part = copy.copy(split)
    part.rank, part.ranks = rank, ranks
    return part


class PartOfBatches(Split[B], Generic[B]):
    """One process's share of every batch of a split that knows nothing of processes."""

    def __init__(self, split: Split[B], rank: int, ranks: int) -> None:
        """Take the share number `rank` of `ranks`."""
        self.split, self.rank, self.ranks = split, rank, ranks

    @override
    def __len__(self) -> int:
        return len(self.split)

    @property
    @override
    def num_batches(self) -> int:
        return self.split.num_batches

    @override
    def batches(self, epoch: int, start: int = 0) -> Iterator[B]:
        for batch in self.split.batches(epoch, start):
            if len(batch) % self.ranks:
                raise UserError(
                    f"A batch of {len(batch)} examples cannot be divided equally among "
                    f"{self.ranks} processes."
                )
            yield batch.select(slice(*_share(0, len(batch), self.rank, self.ranks)))


def _share(first: int, end: int, rank: int, ranks: int) -> tuple[int, int]:
    """The part number `rank` of `ranks` of a range."""
    length = end - first
    return first + length * rank // ranks, first + length * (rank + 1) // ranks


class InMemory(Batched[B], Generic[B]):
    """All examples in one batch's tensors, on the training device; batches are cut by indexing."""

    def __init__(self, examples: B, *, batch_size: int, shuffle_seed: int | None) -> None:
        """Cut `examples`, which already lie on the training device, into batches; see `Batched`."""
        super().__init__(len(examples), batch_size=batch_size, shuffle_seed=shuffle_seed)
        self.examples = examples

    @override
    def batches(self, epoch: int, start: int = 0) -> Iterator[B]:
        if self.shuffle_seed is None:
            yield from (self.examples.select(cut) for cut in self.cuts(start))
            return
        order = self.order(epoch).to(self.examples.device)
        yield from (self.examples.select(order[cut]) for cut in self.cuts(start))


class FirstBatches(Split[B], Generic[B]):
    """The first batches of a split only, for quick looks and debugging."""

    def __init__(
        self, split: Split[B], num_batches: int, *, same_every_epoch: bool = False
    ) -> None:
        """Limit `split` to `num_batches` an epoch, the batches of epoch 0 if `same_every_epoch`."""
        self.split = split
        self._num_batches = min(num_batches, split.num_batches)
        self.same_every_epoch = same_every_epoch

    @override
    def __len__(self) -> int:
        return sum(len(batch) for batch in self.batches(0))

    @property
    @override
    def num_batches(self) -> int:
        return self._num_batches

    @override
    def batches(self, epoch: int, start: int = 0) -> Iterator[B]:
        epoch = 0 if self.same_every_epoch else epoch
        return islice(self.split.batches(epoch, start), self._num_batches - start)
