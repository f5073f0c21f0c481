"""Measuring a model on a split, and which measure decides."""

import contextlib
import logging
import math
from itertools import islice
from typing import Any, Final, TypeVar

import torch
from torch import nn

from runwright.config import Precision, TrainingCfg
from runwright.data import Batch, Data, Split
from runwright.distributed import World
from runwright.errors import UserError, did_you_mean
from runwright.objective import Evaluation, Objective
from runwright.training.sharding import is_sharded
from runwright.training.splits import FirstBatches

log = logging.getLogger(__name__)

B = TypeVar("B", bound=Batch)

_ALONE: Final = World()

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(
    device: torch.device, precision: Precision
) -> contextlib.AbstractContextManager[object]:
    """The context in which a forward pass runs in the chosen precision."""
    if precision == "fp32" and not torch.is_autocast_enabled(device.type):
        return contextlib.nullcontext()  # which takes a tenth of the time, and each step enters it
    return torch.autocast(device.type, dtype=_DTYPES[precision], enabled=precision != "fp32")


@torch.no_grad()
def evaluate(
    model: nn.Module, objective: Objective[B], split: Split[B], world: World = _ALONE
) -> Evaluation[B]:
    """Measure a model on a split; leaves the model in evaluation mode.

    Several processes take some of the batches each, and add up what they counted. They measure the
    model of the main one, which is what is saved.
    """
    model.eval()
    world.broadcast_buffers(model)
    evaluation = objective.evaluation()
    first = split.num_batches * world.rank // world.size
    end = split.num_batches * (world.rank + 1) // world.size
    for batch in islice(split.batches(epoch=0, start=first), end - first):
        evaluation.update(model, batch)
    if is_sharded(model) and end - first < math.ceil(split.num_batches / world.size):
        # The others have one batch more, for which they need this process's part of the model.
        objective.evaluation().update(model, next(iter(split.batches(epoch=0))))
    evaluation.all_reduce(world)
    return evaluation


def choose_monitor(
    cfg: TrainingCfg, objective: Objective[Any], has_validation: bool
) -> tuple[str, bool]:
    """The measure that decides which weights are best, and whether more of it is better.

    Raises:
        UserError: the measure is unknown, and so is which way is better.
    """
    known = {f"val_{name}": better for name, better in objective.higher_is_better.items()}
    if not has_validation:
        if cfg.monitor not in (None, "train_loss"):
            raise UserError(
                f"training.monitor={cfg.monitor}: there are no validation data. Leave it out, and "
                "the training loss decides which weights are best."
            )
        log.info("There are no validation data: the training loss decides which weights are best.")
    if not has_validation or cfg.monitor == "train_loss":
        return "train_loss", cfg.monitor_mode == "max"
    monitor = cfg.monitor or f"val_{objective.monitor}"
    if cfg.monitor_mode is not None and monitor.startswith("val_"):  # the first validation knows
        return monitor, cfg.monitor_mode == "max"
    if monitor not in known:
        raise UserError(
            f"training.monitor={monitor}: no such thing is known to be measured in a validation. "
            f"{did_you_mean(monitor, known)} If it is, say which way is better with "
            "training.monitor_mode=max or min."
        )
    return monitor, known[monitor]


def measure_to_report(cfg: TrainingCfg, objective: Objective[Any]) -> str:
    """The measure that a training would monitor, as it is called on any split: `accuracy`.

    Raises:
        UserError: the measure is unknown, whether there are validation data or not.
    """
    if cfg.monitor == "train_loss":
        return "loss"
    return choose_monitor(cfg, objective, has_validation=True)[0].removeprefix("val_")


def limited(data: Data[Any, B], cfg: TrainingCfg) -> tuple[Split[B], Split[B] | None]:
    """What is trained on and what is validated of the data, as the options limit it.

    Raises:
        UserError: a limit leaves no batch.
    """
    if cfg.overfit_batches is not None:
        few = FirstBatches(data.train, cfg.overfit_batches, same_every_epoch=True)
        return few, few
    train = _limit(data.train, cfg.limit_train_batches, "training.limit_train_batches")
    if data.val is None:
        return train, None
    return train, _limit(data.val, cfg.limit_val_batches, "training.limit_val_batches")


def _limit(split: Split[B], to: float | None, option: str) -> Split[B]:
    """The first batches of a split: a number of them, or a share when `to` is a float."""
    if to is None:
        return split
    count = int(to * split.num_batches) if isinstance(to, float) else to
    if count < 1:
        raise UserError(f"{option}={to} leaves no batch of {split.num_batches}.")
    return FirstBatches(split, count)
