"""What becomes of STATE's settings of the training, of W&B and of the main file."""

from pathlib import PurePosixPath
from typing import Any, Final

from runwright import NoEqual, Original, Rule, Taken
from runwright.domains.perturbation.state_data import UNREAD

_ONLY_COUNTS: Final = "it only counts operations"
_PLACEHOLDER: Final = "your_entity_name"


def _batch_size(value: Any, original: Original) -> Taken:
    devices = original.get("training.devices", 1)
    if isinstance(devices, int) and devices > 1:
        return Taken({"dm.batch_size": value * devices}, "of all processes together")
    return Taken({"dm.batch_size": value})


def _devices(value: Any, _: Original) -> Taken | NoEqual:
    if value == 1:
        return Taken({})
    if isinstance(value, int) and value > 1:
        return Taken({}, f"start it with torchrun --nproc-per-node={value} main.py …")
    why = "how many processes train follows from how they are started"
    return NoEqual(why, "Start it with torchrun, and set dm.batch_size for all of them together")


def _strategy(value: Any, _: Original) -> Taken | NoEqual:
    if value in ("auto", "ddp"):
        return Taken({})
    if value == "ddp_find_unused_parameters_true":
        return Taken({"training.find_unused_parameters": True})
    if value == "fsdp":
        return Taken({"training.parallel": "fsdp"})
    return NoEqual("there is no such strategy here", "Choose training.parallel=ddp or fsdp")


def _val_every(value: Any, original: Original) -> Taken:
    batches = original.get("training.gradient_accumulation_steps", 1)
    if batches == 1:
        return Taken({"training.val_every": value})
    return Taken({"training.val_every": max(1, value // batches)}, "it counts batches, not steps")


def _run_directory(value: Any, original: Original) -> Taken:
    folder = str(PurePosixPath(str(original.get("output_dir", "."))) / str(value))
    return Taken({"hydra.run.dir": folder, "wandb.name": value})


TRAINING_RULES: Final = [
    Rule.inert("training.wandb_track", f"{UNREAD}; use_wandb decides"),
    Rule.inert("training.weight_decay", "the optimiser does not get it"),
    Rule("training.batch_size", _batch_size),
    Rule.taken("training.lr", "opt.lr", absent=3e-4),
    Rule.taken("training.max_steps", "training.max_steps"),
    Rule.taken("training.train_seed", "seed"),
    Rule("training.val_freq", _val_every),
    Rule.taken(
        "training.ckpt_every_n_steps",
        "checkpoint.keep_every",
        note="nothing in arc-state 0.11.1 reads it; what is kept here changes no result",
    ),
    Rule.taken(
        "training.gradient_clip_val", "training.clip_grad", convert=lambda value: value or None
    ),
    Rule.taken("training.gradient_accumulation_steps", "training.accumulate_grad_batches"),
    Rule.inert("training.loss_fn", "model.kwargs.loss decides"),
    Rule("training.devices", _devices),
    Rule("training.strategy", _strategy),
    Rule.taken("training.log_every_n_steps", "training.log_every"),
    Rule.inert("training.use_mfu", _ONLY_COUNTS),
    Rule.inert("training.mfu_kwargs", _ONLY_COUNTS),
    Rule.inert("training.cumulative_flops_use_backward", _ONLY_COUNTS),
    Rule.taken(
        "wandb.entity",
        "wandb.entity",
        convert=lambda value: None if value == _PLACEHOLDER else value,
        note=f"{_PLACEHOLDER} stands for a name of yours",
    ),
    Rule.taken("wandb.project", "wandb.project"),
    Rule.taken("wandb.local_wandb_dir", "wandb.dir"),
    Rule.taken("wandb.tags", "wandb.tags"),
]

MAIN_RULES: Final = [
    Rule("name", _run_directory),
    Rule("output_dir", lambda _value, _: Taken({}, "in hydra.run.dir")),
    Rule.taken("use_wandb", "wandb.mode", convert=lambda value: "online" if value else "disabled"),
    Rule.only(
        "overwrite",
        False,
        why="no file may say so here, only a command",
        way="Add overwrite=true to the command",
    ),
    *(Rule.inert(key, UNREAD) for key in ("return_adatas", "pred_adata_path", "true_adata_path")),
]
