"""Adapters in the peft package's format: a folder with `adapter_model.safetensors` and a config."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from torch import Tensor, nn

from runwright.errors import UserError
from runwright.finetune_options import FinetuneCfg, LoraCfg, SourceOptions
from runwright.plain import home_path
from runwright.rundir.changes import is_record, read_record
from runwright.rundir.checkpoint import find_weights
from runwright.rundir.tensor_files import write_tensors
from runwright.storage.atomic_files import write_bytes
from runwright.training.finetune.lora import adapted_layers, is_adapter
from runwright.training.finetune.weights_in import Weights, weights_in

_CONFIG: Final = "adapter_config.json"
_TENSORS: Final = ("adapter_model.safetensors", "adapter_model.bin")
ADAPTER_FOLDER: Final = "adapter"
"""The folder in a run directory that holds the trained adapters."""

_PREFIX: Final = "base_model.model."
_LORA: Final = "finetune.lora"
_OTHER_ALPHA: Final = (
    f"{_LORA}.alpha is {{now:g}}, but these adapters were trained with {{then:g}} ({{record}}). "
    f"Set {_LORA}.alpha={{then:g}}."
)
# Options that select variants of LoRA which compute something else.
_UNSUPPORTED: Final = ("use_dora", "use_rslora", "fan_in_fan_out", "lora_bias")


def read_adapters(checkpoint: str, cfg: LoraCfg) -> Weights:
    """Read adapters, and what was trained with them, by the names of the model.

    Args:
        checkpoint: a folder in the peft package's format, a run directory with one, or a file.
        cfg: the options that they must agree with.

    Raises:
        UserError: there are none, or their kind is not supported.
    """
    path = Path(checkpoint).expanduser()
    if path.is_dir():
        folders = (path, path / ADAPTER_FOLDER)
        folder = next((one for one in folders if _holds_adapters(one)), None)
        if folder is None:
            raise UserError(
                f"finetune.lora.checkpoint={checkpoint}: neither it nor its folder "
                f"'{ADAPTER_FOLDER}' contains {_CONFIG} and {_TENSORS[0]}."
            )
        _refuse_other_kinds(folder / _CONFIG, cfg)
        path = next(folder / name for name in _TENSORS if (folder / name).is_file())
    elif not path.is_file():
        raise UserError(
            f"finetune.lora.checkpoint={checkpoint}: there is no such file. Give a folder written "
            "by the peft package, a run directory, or a file of adapters."
        )
    weights = weights_in(path, SourceOptions(), "finetune.lora")
    if not any(map(is_adapter, weights.tensors)):
        raise UserError(f"finetune.lora.checkpoint={checkpoint}: {path} contains no adapters.")
    return weights


def _holds_adapters(path: Path) -> bool:
    return (path / _CONFIG).is_file() and any((path / name).is_file() for name in _TENSORS)


def _refuse_other_kinds(path: Path, cfg: LoraCfg) -> None:
    try:
        options: Any = json.loads(path.read_text())
        kind, alpha = options["peft_type"], options["lora_alpha"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a LoRA configuration: {error!r}.") from error
    if kind != "LORA":
        raise UserError(f"{path} is for adapters of type {kind}; only LORA is supported.")
    if unsupported := [name for name in _UNSUPPORTED if options.get(name)]:
        raise UserError(f"{path} has {unsupported[0]}=true, a variant that is not supported.")
    if alphas := options.get("alpha_pattern"):
        raise UserError(f"{path} sets alpha layer by layer, which is not supported: {alphas}.")
    if alpha != cfg.alpha:
        raise UserError(_OTHER_ALPHA.format(now=cfg.alpha, then=alpha, record=path))


def refuse_other_alpha(checkpoint: str, cfg: LoraCfg) -> None:
    """Make sure that the adapters of a run are scaled as they were trained.

    Args:
        checkpoint: what holds them; of a file from elsewhere it is not known.
        cfg: the options that they must agree with.

    Raises:
        UserError: alpha was another.
    """
    try:
        weights = find_weights(home_path(Path(checkpoint)))
    except UserError:  # a folder in the peft package's format, or a URL
        return
    record = weights.resolve().parent.parent / "config.yaml"
    if is_record(record):
        alpha = read_record(record).get(f"{_LORA}.alpha", cfg.alpha)
        if alpha != cfg.alpha:
            raise UserError(_OTHER_ALPHA.format(now=cfg.alpha, then=alpha, record=record))


def write_adapters(
    run_dir: Path, model: nn.Module, weights: Mapping[str, Tensor], cfg: FinetuneCfg
) -> Path:
    """Write a model's adapters, and what was trained with them, in the peft package's format.

    Args:
        run_dir: where the folder `adapter` is created.
        model: gives the names and the layers; its values are not used.
        weights: the values, a state dictionary of the model.
        cfg: the options of the finetuning.

    Returns:
        The folder.
    """
    layers = adapted_layers(model)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    # A module that is trained in full is written with its buffers, e.g. running statistics.
    modules = sorted({n.rpartition(".")[0] for n in trained if not is_adapter(n)})
    buffers = {f"{m}.{n}" for m in modules for n, _ in model.get_submodule(m).named_buffers()}
    tensors = {
        f"{_PREFIX}{name}.weight" if is_adapter(name) else f"{_PREFIX}{name}": tensor
        for name, tensor in weights.items()
        if is_adapter(name) or name in trained or name in buffers
    }
    lora = cfg.lora
    convolutions = [name for name, layer in layers.items() if isinstance(layer, nn.Conv2d)]
    ranks = {name: lora.conv_rank for name in convolutions if lora.conv_rank != lora.rank}
    config = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": cfg.checkpoint,
        "r": lora.rank,
        "lora_alpha": int(lora.alpha) if lora.alpha == int(lora.alpha) else lora.alpha,
        "lora_dropout": 0.0,
        "target_modules": sorted(layers),
        "modules_to_save": modules or None,
        "rank_pattern": ranks,
        "alpha_pattern": {},
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "use_rslora": False,
        "use_dora": False,
        "inference_mode": True,
    }
    folder = run_dir / ADAPTER_FOLDER
    write_tensors(folder / _TENSORS[0], tensors, {})
    text = json.dumps(cast("dict[str, object]", config), indent=2) + "\n"
    write_bytes(folder / _CONFIG, text.encode())
    return folder
