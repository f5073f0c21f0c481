"""The options of the training loop."""

from collections.abc import Iterator
from typing import Literal

from typing_extensions import override

from runwright.factory import Settings, option, settings

Precision = Literal["fp32", "bf16", "fp16"]
Parallel = Literal["ddp", "fsdp"]


@settings
class TrainingCfg(Settings):
    """How long and how to train."""

    epochs: int | None = option(default=10, ge=1, doc="passes over the training data")
    max_steps: int | None = option(
        default=None, ge=1, doc="optimiser steps; the training ends at whichever comes first"
    )
    val_every: int | float = option(
        default=1.0,
        gt=0,
        doc="how often to validate: an integer is steps, a fraction a share of an epoch",
    )
    precision: Precision = option(default="fp32", doc="number format of the forward pass")
    accumulate_grad_batches: int = option(
        default=1, ge=1, doc="batches whose gradients are averaged into one step"
    )
    clip_grad: float | None = option(
        default=None, gt=0, doc="largest norm of the gradient; longer ones are scaled down"
    )
    parallel: Parallel = option(
        default="ddp",
        doc="with several processes: each holds the whole model (ddp), or a part of it (fsdp)",
    )
    compile: bool = option(default=False, doc="whether torch.compile the model")
    ema_decay: float | None = option(
        default=None,
        gt=0,
        lt=1,
        doc="decay a step of a moving average of the weights, which is then what is validated",
    )
    early_stopping: int | None = option(
        default=None, ge=1, doc="validations in a row without a new best before stopping"
    )
    log_every: int = option(default=50, ge=1, doc="steps between records of the training loss")
    limit_train_batches: int | float | None = option(
        default=None, gt=0, doc="batches (or a share) of an epoch to train on"
    )
    limit_val_batches: int | float | None = option(
        default=None, gt=0, doc="batches (or a share) of the validation split to use"
    )
    overfit_batches: int | None = option(
        default=None, ge=1, doc="train and validate on these first batches only, to test a model"
    )
    monitor: str | None = option(
        default=None,
        doc="measure that decides which weights are best and what the run returns; train_loss "
        "decides every log_every steps",
    )
    monitor_mode: Literal["max", "min"] | None = option(
        default=None, doc="whether more or less of it is better; known for the usual measures"
    )

    @override
    def problems(self) -> Iterator[str]:
        if self.epochs is None and self.max_steps is None:
            yield "`epochs` and `max_steps` cannot both be null: the training would never end"
        if self.parallel == "fsdp" and self.precision == "fp16":
            yield "`precision`=fp16 does not go with `parallel`=fsdp; take bf16"
        for name in ("val_every", "limit_train_batches", "limit_val_batches"):
            value = getattr(self, name)
            if isinstance(value, float) and value > 1:
                yield f"`{name}` as a share must be ≤ 1, got {value}; a number of steps is whole"
        if self.overfit_batches is not None:
            for name in ("limit_train_batches", "limit_val_batches"):
                if getattr(self, name) is not None:
                    yield f"`{name}` must be null with `overfit_batches`, which takes its place"
