"""Low-rank adapters: W + B·A·alpha/rank (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

A layer stays what it is, under the names that its weights have, and gets two parameters more,
`lora_A` and `lora_B`. A hook adds what they make of the input to what the layer returns, so the
product B·A is never made while training, and no gradient of W is computed.
"""

import math
import re
from collections.abc import Iterator
from typing import Any, Final, TypeAlias, TypeGuard, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as everyone calls it
from torch.optim import Optimizer

from runwright.errors import RunError
from runwright.finetune_options import LoraCfg
from runwright.name_patterns import NamePattern, met_by_none

_MOST_SHOWN: Final = 8

_Layer: TypeAlias = nn.Linear | nn.Conv2d

_A: Final = "lora_A"
_B: Final = "lora_B"
_NAME: Final = re.compile(rf"(?:^|\.)(?:{_A}|{_B})(?:\.|$)")
# How the peft package calls what is here called without more.
_OF_PEFT: Final = (
    (re.compile(r"^base_model\.model\."), ""),
    (re.compile(r"\.base_layer\."), "."),
    (re.compile(r"\.modules_to_save\.\w+\."), "."),
    (re.compile(r"\.(lora_[AB])(?:\.\w+)?\.weight$"), r".\1"),
)


def is_adapter(name: str) -> bool:
    """Whether a tensor is one of an adapter, by its name."""
    return _NAME.search(name) is not None


def plain_names(names: list[str]) -> list[str]:
    """The names in a checkpoint with adapters without what the peft package adds to them."""
    if not any(map(is_adapter, names)):
        return names
    for pattern, new in _OF_PEFT:
        names = [pattern.sub(new, name) for name in names]
    return names


def add_adapters(model: nn.Module, cfg: LoraCfg) -> list[str]:
    """Give the layers that are named adapters, which change nothing yet: B is zero.

    Returns:
        The names of the layers.
    """
    able = _able_layers(model)
    patterns = [NamePattern(text) for text in cfg.layers]
    chosen = [name for name in able if any(pattern.is_met_by(name) for pattern in patterns)]
    for name in chosen:
        _add_adapter(able[name], cfg)
    return chosen


def without_such_layers(model: nn.Module, cfg: LoraCfg) -> Iterator[str]:
    """A sentence for every pattern that names no layer which can have an adapter."""
    able = _able_layers(model)
    for sentence in met_by_none(cfg.layers, able, "nn.Linear or nn.Conv2d (groups=1) of the model"):
        yield f"finetune.lora.layers: {sentence}"


def adapted_layers(model: nn.Module) -> dict[str, _Layer]:
    """The layers that have an adapter, by name."""
    return {
        name: module
        for name, module in named_modules(model)
        if isinstance(module, nn.Linear | nn.Conv2d) and hasattr(module, _A)
    }


@torch.no_grad()
def merge_adapters(model: nn.Module) -> nn.Module:
    """Add every adapter of a model to the weights of its layer, in place, and take it away.

    W ← W + B·A·alpha/rank: the model computes the same, and has the names that it had without.
    """
    for module in adapted_layers(model).values():
        layer: Any = module
        product = layer.lora_B.flatten(1).double() @ layer.lora_A.flatten(1).double()
        change = layer.lora_scale * product.reshape(layer.weight.shape)
        layer.weight.copy_(layer.weight.double() + change)
        layer.lora_hook.remove()
        for name in (_A, _B, "lora_hook", "lora_scale"):
            delattr(layer, name)
    return model


def refuse_idle_adapters(model: nn.Module, optimizer: Optimizer) -> None:
    """Let the first step of an optimiser fail if an adapter has no part in what is computed.

    A layer whose weights another one reads, without calling it, does not ask its adapter.

    Raises:
        RunError: in that step; names the layers.
    """
    layers = adapted_layers(model)

    def check(*_: object) -> None:
        handle.remove()
        idle = [n for n, layer in layers.items() if cast("Any", layer).lora_B.grad is None]
        if idle:
            shown = ", ".join(idle[:_MOST_SHOWN]) + (", …" if len(idle) > _MOST_SHOWN else "")
            raise RunError(
                f"The adapters of {len(idle)} layers are not used: {shown}. The module around "
                "these layers reads their weights instead of calling them. Exclude them from "
                "finetune.lora.layers."
            )

    handle = optimizer.register_step_pre_hook(check)


def named_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a model by name, as `nn.Module` has it but for its type."""
    yield from cast("Any", model).named_modules()


def _able_layers(model: nn.Module) -> dict[str, _Layer]:
    return {name: module for name, module in named_modules(model) if _can_have_one(module)}


def _can_have_one(module: nn.Module) -> TypeGuard[_Layer]:
    # No class derived from these: what nn.MultiheadAttention holds is never called.
    if type(module) is nn.Conv2d:
        return module.groups == 1 and module.padding_mode == "zeros"
    return type(module) is nn.Linear


def _add_adapter(layer: _Layer, cfg: LoraCfg) -> None:
    weight = layer.weight
    if isinstance(layer, nn.Linear):
        rank = cfg.rank
        shapes = (rank, layer.in_features), (layer.out_features, rank)
        hook = _add_linear
    else:
        rank = cfg.conv_rank
        shapes = (rank, *weight.shape[1:]), (layer.out_channels, rank, 1, 1)
        hook = _add_convolution
    a, b = (nn.Parameter(weight.new_empty(shape)) for shape in shapes)
    nn.init.kaiming_uniform_(a, a=math.sqrt(5))
    nn.init.zeros_(b)
    layer.register_parameter(_A, a)
    layer.register_parameter(_B, b)
    changed: Any = layer
    changed.lora_scale = cfg.alpha / rank
    changed.lora_hook = layer.register_forward_hook(hook)  # copied with the layer


def _add_linear(layer: Any, arguments: tuple[Tensor], output: Tensor) -> Tensor:
    low = F.linear(arguments[0], layer.lora_A)
    return output + layer.lora_scale * F.linear(low, layer.lora_B)


def _add_convolution(layer: Any, arguments: tuple[Tensor], output: Tensor) -> Tensor:
    how = (layer.stride, layer.padding, layer.dilation)
    low = F.conv2d(arguments[0], layer.lora_A, None, *how)
    return output + layer.lora_scale * F.conv2d(low, layer.lora_B)
