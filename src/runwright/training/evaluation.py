"""Measuring a model on a split."""

import contextlib
import math
from collections.abc import Callable
from itertools import islice
from typing import Final, TypeVar

import torch
from torch import nn

from runwright.config import Precision
from runwright.data import Batch, Split
from runwright.device.distributed import World
from runwright.device.generators import each_seeded, seed_for_evaluation
from runwright.objective import Evaluation, Objective
from runwright.training.sharding import is_sharded

B = TypeVar("B", bound=Batch)

_ALONE: Final = World()
_CPU: Final = torch.device("cpu")

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(
    device: torch.device, precision: Precision
) -> contextlib.AbstractContextManager[object]:
    """The context in which a forward pass runs in the chosen precision."""
    if precision == "fp32" and not torch.is_autocast_enabled(device.type):
        return contextlib.nullcontext()  # takes a tenth of the time, and every step enters it
    return torch.autocast(device.type, dtype=_DTYPES[precision], enabled=precision != "fp32")


@torch.no_grad()
def evaluate(
    model: nn.Module,
    objective: Objective[B],
    split: Split[B],
    world: World = _ALONE,
    after_batch: Callable[[], None] = lambda: None,
    *,
    seed: int = 0,
    device: torch.device = _CPU,
    draws: bool = False,
) -> Evaluation[B]:
    """Measure a model on a split; leaves the model in evaluation mode, and the generators seeded.

    Several processes each take some of the batches, and add up their counts. They measure the model
    of the main one, which is the one that is saved.

    Args:
        model: the model.
        objective: what measures it.
        split: the split.
        world: the processes.
        after_batch: called after every batch, and before the first.
        seed: seeds what is drawn at random; see `each_seeded`.
        device: where the model is.
        draws: whether pictures of it are drawn, for which processes may exchange more.
    """
    model.eval()
    world.broadcast_buffers(model)
    after_batch()
    evaluation = objective.evaluation()
    first = split.num_batches * world.rank // world.size
    end = split.num_batches * (world.rank + 1) // world.size
    batches = islice(split.batches(epoch=0, start=first), end - first)
    for batch in each_seeded(batches, seed, device, start=first):
        evaluation.update(model, batch)
        after_batch()
    if is_sharded(model) and end - first < math.ceil(split.num_batches / world.size):
        # The others have one more batch, for which they need this process's part of the model.
        objective.evaluation().update(model, next(iter(split.batches(epoch=0))))
    seed_for_evaluation(seed, split.num_batches, device)  # alike in every process
    evaluation.all_reduce(world)
    if draws:
        evaluation.gather_drawn(world)
    return evaluation
