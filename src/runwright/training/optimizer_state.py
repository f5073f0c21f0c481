"""The state of an optimiser as named tensors and plain values, and back."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from runwright.training.sharding import shard_like


def flatten_optimizer(
    optimizer: Optimizer, model: nn.Module
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The optimiser's state: tensors by `<parameter>/<name>`, and the rest as plain values."""
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for parameter, tensor in model.named_parameters():
        for name, value in optimizer.state.get(tensor, {}).items():
            kept = tensors if isinstance(value, torch.Tensor) else plain
            kept[f"{parameter}/{name}"] = value
    return tensors, plain


def restore_optimizer(
    optimizer: Optimizer,
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    plain: Mapping[str, Any],
) -> None:
    """Restore what `flatten_optimizer` returned; the hyperparameters stay as they are.

    The state is keyed by parameter name: the order of parameters in the optimiser depends on its
    options.
    """
    order = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    position = {id(parameter): index for index, parameter in enumerate(order)}
    parameters = dict(model.named_parameters())
    state: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *plain.items()]:
        parameter, name = key.rsplit("/", 1)
        like, entry = parameters[parameter], value
        if isinstance(value, torch.Tensor) and value.shape == like.shape:
            # In the parameter's own memory format: fused optimisers traverse both in parallel.
            part = shard_like(value, like)
            entry = torch.empty_like(like, dtype=value.dtype).copy_(part)
        if id(like) in position:
            state.setdefault(position[id(like)], {})[name] = entry
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
