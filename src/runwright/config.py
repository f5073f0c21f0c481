"""All that a person may set of a run, and nothing that happens with it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Final, Literal, TypeAlias

from typing_extensions import override

from runwright.data import DataModule
from runwright.dims import accepts
from runwright.factory import CONFIG_GROUPS, Settings, name_of, option, settings, type_argument
from runwright.finetune_options import FinetuneCfg
from runwright.model import ModelFactory
from runwright.objective import ObjectiveFactory
from runwright.optimisation import OptimisationCfg

MAX_SEED: Final = 2**64 - 1
"""The greatest seed that torch takes."""

Stage = Literal["fit", "validate", "test", "predict"]
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


@settings
class CheckpointCfg(Settings):
    """When checkpoints are written, and from which one to start."""

    save_every: int | None = option(
        harmless=True,
        default=None,
        ge=1,
        doc="steps between checkpoints; by default as often as costs 1 % of the time",
    )
    keep: int | None = option(
        harmless=True,
        default=None,
        ge=1,
        doc="how many checkpoints to keep, besides the best; by default two while it trains (one "
        "has no fallback) and the last when it has finished",
    )
    load: Path | None = option(
        default=None,
        doc="weights of exactly this model, to measure or to start from: a .safetensors file or a "
        "run directory (its best weights); finetune.checkpoint adapts others",
    )
    allow_changes: bool = option(
        harmless=True,
        default=False,
        doc="whether a run may be resumed with a changed configuration",
    )


@settings
class WandbCfg(Settings):
    """Weights & Biases; the options of `wandb.init`."""

    name: str | None = option(harmless=True, default=None, doc="name of the run; W&B invents one")
    dir: str = option(harmless=True, default="./local_logging", doc="directory for W&B's own files")
    id: str | None = option(
        harmless=True, default=None, doc="id of the run; a resumed run keeps its own"
    )
    anonymous: str | None = option(
        harmless=True, default=None, doc="passed on to wandb.init, where it no longer has an effect"
    )
    project: str | None = option(
        harmless=True, default="runwright", doc="project that the run belongs to"
    )
    group: str | None = option(harmless=True, default=None, doc="group that the run belongs to")
    entity: str | None = option(
        harmless=True, default=None, doc="user or team; W&B takes your default"
    )
    tags: list[str] | None = option(harmless=True, default=None, doc="labels of the run")
    job_type: str | None = option(harmless=True, default=None, doc="kind of the run, e.g. train")
    mode: Literal["online", "offline", "disabled"] = option(
        harmless=True,
        default="disabled",
        doc="whether to log to the server, to files, or not at all",
    )
    resume: Literal["allow", "never", "must", "auto"] | None = option(
        harmless=True, default=None, doc="what to do when the id exists; a resumed run takes allow"
    )


@settings
class Config(Settings):
    """All that determines a run."""

    dm: DataModule = option(doc="the data")
    model: ModelFactory = option(doc="the model")
    objective: ObjectiveFactory = option(doc="the loss and the measures; follows from the data")
    opt: OptimisationCfg = option(default=OptimisationCfg(), doc="the optimiser")
    training: TrainingCfg = option(default=TrainingCfg(), doc="the training loop")
    checkpoint: CheckpointCfg = option(default=CheckpointCfg(), doc="the checkpoints")
    finetune: FinetuneCfg = option(
        default=FinetuneCfg(), doc="starting from existing weights, and training a part of them"
    )
    wandb: WandbCfg = option(default=WandbCfg(), doc="Weights & Biases")
    tensorboard: bool = option(
        harmless=True, default=False, doc="whether to write TensorBoard files as well"
    )
    pictures: bool = option(harmless=True, default=True, doc="whether to draw the run's pictures")
    print_model: Literal["summary", "whole"] = option(
        harmless=True, default="summary", doc="how a model of many layers is printed"
    )
    seed: int = option(default=42, ge=0, le=MAX_SEED, doc="seed of every random choice")
    gpu: int = option(
        harmless=True, default=0, ge=-1, doc="index of the CUDA device; -1 is the CPU"
    )
    deterministic: bool = option(
        default=False, doc="whether to use only kernels whose results are equal to the bit"
    )
    stage: Stage = option(
        harmless=True, default="fit", doc="train, or measure or apply trained weights"
    )

    # Set by run.py: a configuration knows nothing of runs, and `.run()` is only shorter to write.
    runner: ClassVar["Runner"]

    @override
    def problems(self) -> Iterator[str]:
        if self.stage == "fit" and self.finetune.checkpoint and self.checkpoint.load:
            yield (
                "`checkpoint.load` and `finetune.checkpoint` are both weights to start from; the "
                "first takes those of exactly this model, the second adapts those of another"
            )
        published = type_argument(type(self.dm))
        if not isinstance(published, type):
            return
        for group in ("model", "objective"):
            chosen: Settings = getattr(self, group)
            if not accepts(type_argument(type(chosen)), published):
                fitting = sorted(
                    name
                    for name, cls in CONFIG_GROUPS.get(group, {}).items()
                    if accepts(type_argument(cls), published)
                )
                yield (
                    f"{group}={chosen_name(chosen)} does not fit dm={chosen_name(self.dm)}, whose "
                    f"data are described by {published.__name__}. Those that fit: "
                    f"{', '.join(fitting)}."
                )

    def run(self, run_dir: Path | str | None = None) -> float:
        """Run this configuration; see `runwright.run`."""
        return self.runner(self, run_dir)


Runner: TypeAlias = Callable[[Config, Path | str | None], float]
"""What runs a configuration, in a directory; returns the monitored measure."""


def chosen_name(factory: Settings) -> str:
    """What a factory is called on the command line, or the name of its class."""
    return name_of(type(factory)) or type(factory).__name__
