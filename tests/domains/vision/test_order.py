"""The order of examples is the same for all kinds of splits, and for all versions."""

import hashlib
import json
from collections.abc import Callable

import numpy as np
import pytest
import torch

from runwright.data import Split
from runwright.data.batching import InMemory
from runwright.domains.vision.batch import ImageBatch
from runwright.domains.vision.mapped import MappedImages

# A run that was begun with an earlier version is resumed in the order that it had there.
RECORDED = "a65d9de0391a534db344e63356a0a51726f1dc7384f70e3aef472641a7e64122"

Make = Callable[[int, int, int | None], Split[ImageBatch]]
CPU = torch.device("cpu")


def in_memory(num_examples: int, batch_size: int, seed: int | None) -> Split[ImageBatch]:
    numbers = torch.arange(num_examples)
    batch = ImageBatch(image=torch.zeros(num_examples, 1, 1, 1), label=numbers, group=numbers)
    return InMemory(batch, batch_size=batch_size, shuffle_seed=seed)


def mapped(num_examples: int, batch_size: int, seed: int | None) -> Split[ImageBatch]:
    numbers = np.arange(num_examples)
    return MappedImages(
        np.zeros((num_examples, 1, 1, 1), dtype=np.uint8),
        numbers,
        labels=numbers,
        groups=numbers,
        batch_size=batch_size,
        shuffle_seed=seed,
        device=CPU,
    )


@pytest.mark.parametrize("make", [in_memory, mapped])
def test_the_order_is_the_one_on_record(
    make: Make,
) -> None:
    orders = [
        [batch.label.tolist() for batch in make(num_examples, 10, seed).batches(epoch, start)]
        for num_examples in (10, 57)
        for seed in (None, 0, 42)
        for epoch in (0, 1, 9)
        for start in (0, 1, 4)
    ]
    assert hashlib.sha256(json.dumps(orders).encode()).hexdigest() == RECORDED
