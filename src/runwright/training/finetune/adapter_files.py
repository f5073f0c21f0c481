"""Adapters as the peft package keeps them: a folder of `adapter_model.safetensors` and a config."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from torch import Tensor, nn

from runwright.atomic_files import write_bytes
from runwright.errors import UserError
from runwright.finetune_options import FinetuneCfg, LoraCfg, SourceOptions
from runwright.rundir.tensor_files import write_tensors
from runwright.training.finetune.lora import adapted_layers, is_adapter
from runwright.training.finetune.weights_in import Weights, weights_in

_CONFIG: Final = "adapter_config.json"
_TENSORS: Final = ("adapter_model.safetensors", "adapter_model.bin")
ADAPTER_FOLDER: Final = "adapter"
"""The folder of a run directory with the adapters that were trained."""

_PREFIX: Final = "base_model.model."
# Kinds of adapters that compute something else, by the names of their options.
_OTHERS: Final = ("use_dora", "use_rslora", "fan_in_fan_out", "lora_bias")


def read_adapters(checkpoint: str, cfg: LoraCfg) -> Weights:
    """Read adapters, and what was trained beside them, by the names of the model.

    Args:
        checkpoint: a folder of the peft package, a run directory with one, or a file.
        cfg: what they are to be.

    Raises:
        UserError: there are none, or they are of another kind.
    """
    path = Path(checkpoint).expanduser()
    if path.is_dir():
        folder = next((one for one in (path, path / ADAPTER_FOLDER) if _is_folder(one)), None)
        if folder is None:
            raise UserError(
                f"finetune.lora.checkpoint={checkpoint}: there is no {_CONFIG} with {_TENSORS[0]} "
                f"in it or in its folder {ADAPTER_FOLDER}."
            )
        _refuse_other_kinds(folder / _CONFIG, cfg)
        path = next(folder / name for name in _TENSORS if (folder / name).is_file())
    elif not path.is_file():
        raise UserError(
            f"finetune.lora.checkpoint={checkpoint}: there is no such file. Give a folder as the "
            "peft package writes it, a run directory, or a file of adapters."
        )
    weights = weights_in(path, SourceOptions(), "finetune.lora")
    if not any(map(is_adapter, weights.tensors)):
        raise UserError(f"finetune.lora.checkpoint={checkpoint}: there are no adapters in {path}.")
    return weights


def _is_folder(path: Path) -> bool:
    return (path / _CONFIG).is_file() and any((path / name).is_file() for name in _TENSORS)


def _refuse_other_kinds(path: Path, cfg: LoraCfg) -> None:
    try:
        options: Any = json.loads(path.read_text())
        kind, alpha = options["peft_type"], options["lora_alpha"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a LoRA configuration: {error!r}.") from error
    if kind != "LORA":
        raise UserError(f"{path} configures adapters of type {kind}, not LORA.")
    if others := [name for name in _OTHERS if options.get(name)]:
        raise UserError(f"{path} has {others[0]}=true, a variant that is not supported.")
    if alphas := options.get("alpha_pattern"):
        raise UserError(
            f"{path} has different alphas for different layers, which is not supported: {alphas}."
        )
    if alpha != cfg.alpha:
        raise UserError(
            f"finetune.lora.alpha={cfg.alpha:g}, but these adapters were trained with {alpha:g} "
            f"({path}): set finetune.lora.alpha={alpha:g}."
        )


def write_adapters(
    run_dir: Path, model: nn.Module, weights: Mapping[str, Tensor], cfg: FinetuneCfg
) -> Path:
    """Write the adapters of a model, and what was trained beside them, for the peft package too.

    Args:
        run_dir: where the folder `adapter` is made.
        model: the model, whose names and layers count.
        weights: its state dictionary, the values that count.
        cfg: what was asked for.

    Returns:
        The folder.
    """
    layers = adapted_layers(model)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    # What is trained beside the adapters goes with the statistics of its module.
    modules = sorted({n.rpartition(".")[0] for n in trained if not is_adapter(n)})
    besides = {f"{m}.{n}" for m in modules for n, _ in model.get_submodule(m).named_buffers()}
    tensors = {
        f"{_PREFIX}{name}.weight" if is_adapter(name) else f"{_PREFIX}{name}": tensor
        for name, tensor in weights.items()
        if is_adapter(name) or name in trained or name in besides
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
