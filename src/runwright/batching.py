"""Splits over examples that lie in memory, and limits on splits."""

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


class InMemory(Split[B], Generic[B]):
    """All examples in one batch's tensors, on the training device; batches are cut by indexing."""

    def __init__(self, examples: B, *, batch_size: int, shuffle_seed: int | None) -> None:
        """Cut `examples` into batches.

        Args:
            examples: every example, already on the training device.
            batch_size: examples a batch.
            shuffle_seed: shuffles anew in every epoch, and drops the last, smaller batch; None
                keeps the order and all examples.

        Raises:
            UserError: shuffled examples do not fill one batch.
        """
        if shuffle_seed is not None and len(examples) < batch_size:
            raise UserError(
                f"The training split has {len(examples)} examples, fewer than one batch "
                f"(dm.batch_size={batch_size}). Use dm.batch_size={len(examples)} or less."
            )
        self.examples = examples
        self.batch_size = batch_size
        self.shuffle_seed = shuffle_seed

    @override
    def __len__(self) -> int:
        return len(self.examples)

    @property
    @override
    def num_batches(self) -> int:
        full, rest = divmod(len(self.examples), self.batch_size)
        return full if self.shuffle_seed is not None else full + (rest > 0)

    @override
    def batches(self, epoch: int, start: int = 0) -> Iterator[B]:
        positions = range(
            start * self.batch_size, self.num_batches * self.batch_size, self.batch_size
        )
        if self.shuffle_seed is None:
            for position in positions:
                yield self.examples.select(slice(position, position + self.batch_size))
            return
        order = epoch_order(len(self.examples), seed=self.shuffle_seed, epoch=epoch)
        order = order.to(self.examples.device)
        for position in positions:
            yield self.examples.select(order[position : position + self.batch_size])


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
