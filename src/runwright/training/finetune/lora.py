"""Low-rank adapters: W + B·A·alpha/rank (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

A layer and the names of its weights stay as they are; it gets two more parameters, `lora_A` and
`lora_B`. A hook applies them to the input and adds the result to the layer's output, so training
never forms the product B·A nor computes a gradient of W.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias, TypeGuard, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as everyone calls it
from torch.optim import Optimizer

from runwright.errors import RunError
from runwright.finetune_options import LoraCfg
from runwright.name_patterns import NamePattern, unmatched

_MOST_SHOWN: Final = 8

_Layer: TypeAlias = nn.Linear | nn.Conv2d

_A: Final = "lora_A"
_B: Final = "lora_B"
_NAME: Final = re.compile(rf"(?:^|\.)(?:{_A}|{_B})(?:\.|$)")
# What the peft package adds to names.
_PEFT_ADDITIONS: Final = (
    (re.compile(r"^base_model\.model\."), ""),
    (re.compile(r"\.base_layer\."), "."),
    (re.compile(r"\.modules_to_save\.\w+\."), "."),
    (re.compile(r"\.(lora_[AB])(?:\.\w+)?\.weight$"), r".\1"),
)


def is_adapter(name: str) -> bool:
    """Whether a tensor of this name belongs to an adapter."""
    return _NAME.search(name) is not None


def plain_names(names: list[str]) -> list[str]:
    """The names in a checkpoint; if it has adapters, without what the peft package adds."""
    if not any(map(is_adapter, names)):
        return names
    for pattern, new in _PEFT_ADDITIONS:
        names = [pattern.sub(new, name) for name in names]
    return names


def add_adapters(model: nn.Module, cfg: LoraCfg) -> list[str]:
    """Add adapters to the layers that `cfg.layers` matches; they change nothing yet, as B is zero.

    Returns:
        The names of the layers.
    """
    adaptable = _adaptable_layers(model)
    patterns = [NamePattern(text) for text in cfg.layers]
    chosen = [name for name in adaptable if any(pattern.matches(name) for pattern in patterns)]
    for name in chosen:
        _add_adapter(adaptable[name], cfg)
    return chosen


def unmatched_layers(model: nn.Module, cfg: LoraCfg) -> Iterator[str]:
    """A sentence for every pattern that matches no layer that can have an adapter."""
    adaptable, what = _adaptable_layers(model), "nn.Linear or nn.Conv2d (groups=1) of the model"
    for sentence in unmatched(cfg.layers, adaptable, what):
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
    """Fold every adapter of a model into the weights of its layer, in place, and remove it.

    W ← W + B·A·alpha/rank: the model computes the same, with the names that it had before.
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


def refuse_idle_adapters(model: nn.Module, optimizers: Iterable[Optimizer]) -> None:
    """Make the first step of an optimiser fail if an adapter of its takes no part in the forward.

    That is so where another module reads the weights of a layer without calling the layer.

    Raises:
        RunError: in that step; lists the layers.
    """
    layers = adapted_layers(model)
    for optimizer in optimizers:
        own = {id(p) for group in optimizer.param_groups for p in group["params"]}
        its = {n: one for n, one in layers.items() if id(cast("Any", one).lora_B) in own}
        _refuse_idle(its, optimizer)


def _refuse_idle(layers: Mapping[str, _Layer], optimizer: Optimizer) -> None:
    def check(*_: object) -> None:
        handle.remove()
        idle = [n for n, layer in layers.items() if cast("Any", layer).lora_B.grad is None]
        if idle:
            shown = ", ".join(idle[:_MOST_SHOWN]) + (", …" if len(idle) > _MOST_SHOWN else "")
            raise RunError(
                f"Some adapters have no effect ({len(idle)}): {shown}. The surrounding module "
                "reads the weights of these layers instead of calling them. Exclude them from "
                "finetune.lora.layers."
            )

    handle = optimizer.register_step_pre_hook(check)


def named_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a model by name: `nn.Module.named_modules`, fully typed."""
    yield from cast("Any", model).named_modules()


def _adaptable_layers(model: nn.Module) -> dict[str, _Layer]:
    return {name: module for name, module in named_modules(model) if _is_adaptable(module)}


def _is_adaptable(module: nn.Module) -> TypeGuard[_Layer]:
    # No subclasses: the one in nn.MultiheadAttention is never called.
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
