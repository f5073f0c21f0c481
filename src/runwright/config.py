"""Everything a user may set in a run, and nothing that happens with it."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Final, Literal, TypeAlias

from typing_extensions import override

from runwright.data import DataModule
from runwright.dims import accepts
from runwright.errors import did_you_mean
from runwright.factory import CONFIG_GROUPS, Settings, name_of, option, settings, type_argument
from runwright.finetune_options import FinetuneCfg
from runwright.machine import Machine
from runwright.model import ModelFactory
from runwright.objective import ObjectiveFactory
from runwright.optimizers import OptimizerFactory
from runwright.stage import Stage
from runwright.stages import choices as _choices  # pyright: ignore[reportUnusedImport]  # noqa: F401  # it registers them

MAX_SEED: Final = 2**64 - 1
"""The largest seed that torch accepts."""

LAST: Final = "last"
"""What to monitor when no measure is to choose among the weights."""

USUAL_EPOCHS: Final = 10
"""How long to train when nothing is said of it."""

Precision = Literal["fp32", "bf16", "fp16"]
Float32Precision = Literal["highest", "high", "medium"]
Parallel = Literal["ddp", "fsdp"]


@settings
class TrainingCfg(Settings):
    """How long and how to train."""

    epochs: int | None = option(
        default=None,
        ge=1,
        doc=f"passes over the training data; {USUAL_EPOCHS}, unless max_steps alone is given",
    )
    max_steps: int | None = option(
        default=None,
        ge=1,
        doc="optimiser steps; if epochs is given too, training ends at whichever limit comes first",
    )
    val_every: int | float = option(
        default=1.0,
        gt=0,
        doc="how often to validate: an integer is steps, a float a fraction of an epoch",
    )
    precision: Precision = option(default="fp32", doc="number format of the forward pass")
    float32_precision: Float32Precision = option(
        default="highest",
        doc="precision of fp32 matrix products; high and medium round the factors (TF32, bf16) and "
        "are several times as fast on recent GPUs",
    )
    accumulate_grad_batches: int = option(
        default=1, ge=1, doc="batches whose gradients are averaged into one step"
    )
    clip_grad: float | None = option(
        default=None, gt=0, doc="maximum gradient norm; larger gradients are scaled down"
    )
    parallel: Parallel = option(
        default="ddp",
        doc="with several processes: each holds the whole model (ddp) or a shard of it (fsdp)",
    )
    find_unused_parameters: bool = option(
        harmless=True,
        default=False,
        doc="with several processes: whether a step may leave parameters without a gradient, "
        "which are then looked for in every step",
    )
    compile: bool = option(default=False, doc="whether to compile the model with torch.compile")
    cuda_graph: bool | None = option(
        default=None,
        doc="whether to replay the steps as one CUDA graph, which keeps a GPU busy; by default, "
        "where a step can be captured",
    )
    ema_decay: float | None = option(
        default=None,
        gt=0,
        lt=1,
        doc="per-step decay of an EMA of the weights; the EMA is validated and saved as best",
    )
    early_stopping: int | None = option(
        default=None, ge=1, doc="stop after this many validations in a row without a new best"
    )
    log_every: int = option(default=50, ge=1, doc="steps between records of the training loss")
    track: list[Literal["grad_norm", "examples_per_second", "gpu_memory"]] = option(
        harmless=True,
        default=[],
        doc="what to record beside the training loss: the norm of the gradients before clipping, "
        "the speed, validations included, the largest memory of the GPU in GiB",
    )
    measure_train: int | float | None = option(
        harmless=True,
        default=None,
        gt=0,
        doc="how many training batches, or what fraction of them, to measure at each validation as "
        "well; their measures start with trainset_",
    )
    limit_train_batches: int | float | None = option(
        default=None, gt=0, doc="how many batches of an epoch to train on, or what fraction of them"
    )
    limit_val_batches: int | float | None = option(
        default=None,
        gt=0,
        doc="how many batches of the validation split to use, or what fraction of them",
    )
    overfit_batches: int | None = option(
        default=None,
        ge=1,
        doc="how many batches to both train and validate on, always the first, to test a model",
    )
    monitor: str | None = option(
        default=None,
        doc="measure that decides which weights are best and what the run returns; train_loss "
        "is compared every log_every steps; last keeps the weights of the last validation",
    )
    monitor_mode: Literal["max", "min"] | None = option(
        default=None, doc="whether higher or lower is better; known for the usual measures"
    )

    @override
    def problems(self) -> Iterator[str]:
        if self.monitor == LAST and self.early_stopping is not None:
            yield "`early_stopping` must be null with `monitor`=last: no measure decides"
        if self.parallel == "fsdp" and self.precision == "fp16":
            yield "`precision`=fp16 cannot be combined with `parallel`=fsdp; use bf16"
        if self.parallel == "fsdp" and self.find_unused_parameters:
            yield "`find_unused_parameters` is an option of `parallel`=ddp"
        for name in ("val_every", "measure_train", "limit_train_batches", "limit_val_batches"):
            value = getattr(self, name)
            if isinstance(value, float) and value > 1:
                yield f"`{name}` as a fraction must be ≤ 1, got {value}; a count is an integer"
        if self.overfit_batches is not None:
            for name in ("limit_train_batches", "limit_val_batches"):
                if getattr(self, name) is not None:
                    yield f"`{name}` must be null with `overfit_batches`, which replaces it"


@settings
class CheckpointCfg(Settings):
    """When checkpoints are written, and from which one to start."""

    save_every: int | float | None = option(
        harmless=True,
        default=None,
        gt=0,
        doc="how often to write a checkpoint: an integer is steps, a float is epochs (10.0); by "
        "default, so often that saving takes 1 % of the time",
    )
    keep: int | None = option(
        harmless=True,
        default=1,
        ge=1,
        doc="how many of the newest to keep, while it trains at least two, in case one is damaged; "
        "null keeps all",
    )
    keep_every: int | float | None = option(
        harmless=True,
        default=None,
        gt=0,
        doc="how often to write one that is kept for good: steps, or epochs with a point",
    )
    keep_best: int = option(
        harmless=True,
        default=1,
        ge=1,
        doc="how many of the best validations to keep the weights of: best.safetensors, and of "
        "several each as best-step-….safetensors",
    )
    load: Path | None = option(
        default=None,
        doc="weights of exactly this model, to measure or to start from: a .safetensors file or a "
        "run directory (its best weights); finetune.checkpoint adapts others",
    )
    resume_from: Path | None = option(
        default=None,
        doc="checkpoint of another run to continue from in a new directory, optimiser included: a "
        "file step-….safetensors, or a run directory (its newest)",
    )
    allow_changes: bool = option(
        harmless=True,
        default=False,
        doc="whether a run may be resumed with a changed configuration",
    )

    @override
    def problems(self) -> Iterator[str]:
        if self.load is not None and self.resume_from is not None:
            yield "`load` must be null with `resume_from`, which brings its weights"


@settings
class WandbCfg(Settings):
    """Weights & Biases; the options of `wandb.init`."""

    name: str | None = option(
        harmless=True, default=None, doc="name of the run; by default W&B invents one"
    )
    dir: str = option(harmless=True, default="./local_logging", doc="directory for W&B's own files")
    id: str | None = option(
        harmless=True, default=None, doc="id of the run; a resumed run keeps its own"
    )
    anonymous: str | None = option(
        harmless=True, default=None, doc="passed to wandb.init, which now ignores it"
    )
    project: str | None = option(
        harmless=True, default="runwright", doc="project that the run belongs to"
    )
    group: str | None = option(harmless=True, default=None, doc="group that the run belongs to")
    entity: str | None = option(
        harmless=True, default=None, doc="user or team; by default the one set in W&B"
    )
    tags: list[str] | None = option(harmless=True, default=None, doc="labels of the run")
    job_type: str | None = option(harmless=True, default=None, doc="kind of run, e.g. train")
    mode: Literal["online", "offline", "disabled"] = option(
        harmless=True,
        default="disabled",
        doc="whether to log to the server, to files, or not at all",
    )
    log_model: bool = option(
        harmless=True, default=False, doc="whether to upload the best weights as an artifact"
    )
    resume: Literal["allow", "never", "must", "auto"] | None = option(
        harmless=True,
        default=None,
        doc="what to do if the id already exists; a resumed run uses allow",
    )


@settings
class Config(Settings):
    """Everything that determines a run."""

    dm: DataModule = option(doc="the data")
    model: ModelFactory = option(doc="the model")
    objective: ObjectiveFactory = option(doc="the loss and the measures; follows from the data")
    opt: OptimizerFactory = option(usual="torch", doc="the optimiser and its schedule")
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
    draw_every: int | None = option(
        harmless=True,
        default=None,
        ge=1,
        doc="how many validations there are from one that is drawn to the next; by default only "
        "that of the best weights is, at the end",
    )
    print_model: Literal["summary", "whole"] = option(
        harmless=True, default="summary", doc="how to print a model with many layers"
    )
    overwrite: bool = option(
        harmless=True,
        default=False,
        doc="whether to delete first what a run wrote to the run directory, to start over",
    )
    machine: Machine = option(
        harmless=True,
        usual="local",
        doc="the machine, which files refer to as ${machine.data_path} etc.",
    )
    seed: int = option(default=42, ge=0, le=MAX_SEED, doc="seed for every random choice")
    gpu: int = option(
        harmless=True, default=0, ge=-1, doc="index of the CUDA device; -1 is the CPU"
    )
    deterministic: bool = option(
        default=False, doc="whether to use only kernels whose results are reproducible to the bit"
    )
    stage: Stage = option(
        harmless=True, usual="fit", doc="train, or measure or apply what was trained"
    )
    then: list[str] = option(
        harmless=True, default=[], doc="stages that follow a training, e.g. [test, predict]"
    )

    is_whole: ClassVar[bool] = True

    # Set by run.py: a configuration knows nothing about runs; `.run()` is only a shorthand.
    runner: ClassVar["Runner"]

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        training = self.training
        if not isinstance(training, TrainingCfg):  # pyright: ignore[reportUnnecessaryIsInstance]  # in Python
            return  # which is told when it is run, as Python says nothing of types
        if (training.epochs, training.max_steps) == (None, None):
            # Here, and not as a default, which would end `max_steps` alone; so that the record of
            # a run says how long it trains.
            usual = dataclasses.replace(training, epochs=USUAL_EPOCHS)
            object.__setattr__(self, "training", usual)

    @override
    def problems(self) -> Iterator[str]:
        if self.stage.trains and self.finetune.checkpoint and self.checkpoint.load:
            yield (
                "`checkpoint.load` and `finetune.checkpoint` are both weights to start from; the "
                "first takes those of exactly this model, the second adapts those of another"
            )
        if self.training.monitor == LAST and self.checkpoint.keep_best > 1:
            yield "`checkpoint.keep_best` must be 1 with `training.monitor`=last: there is one last"
        if self.stage.trains and self.training.cuda_graph and self.gpu < 0:
            yield f"`training.cuda_graph` must not be true with `gpu`={self.gpu}, which is the CPU"
        if self.draw_every is not None and not self.pictures:
            yield "`draw_every` has no effect with `pictures`=false"
        if self.overwrite and not self.stage.trains:
            yield (
                f"`overwrite` starts a training over; stage={chosen_name(self.stage)} needs what "
                "is in the directory, and writes over its own files anyway: leave it out"
            )
        stages = [name for name in CONFIG_GROUPS["stage"] if name != "fit"]
        for name in [name for name in self.then if name not in stages]:
            yield f"`then` cannot have '{name}'. {did_you_mean(name, stages)}"
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
                needed = published.__name__
                fit = f"Those that fit: {', '.join(fitting)}."
                none = (
                    f"No {group} that is registered fits: one for {needed} is needed, or a module "
                    "that registers one has to be imported."
                )
                yield (
                    f"{group}={chosen_name(chosen)} does not fit dm={chosen_name(self.dm)}, whose "
                    f"data are described by {needed}. {fit if fitting else none}"
                )

    def run(self, run_dir: Path | str | None = None) -> float:
        """Run this configuration; see `runwright.run`."""
        return self.runner(self, run_dir)


Runner: TypeAlias = Callable[[Config, Path | str | None], float]
"""What runs a configuration, in a directory; returns the monitored measure."""


def chosen_name(factory: Settings) -> str:
    """What a factory was chosen by, or could be on the command line, or the name of its class."""
    return factory.chosen_as or name_of(type(factory)) or type(factory).__name__
