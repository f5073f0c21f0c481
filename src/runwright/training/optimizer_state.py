"""The state of an optimiser as named tensors and plain values, and back."""

import copy
from collections.abc import Collection, Mapping
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from runwright.errors import UserError
from runwright.training.packing import is_equal, pack, references, unpack
from runwright.training.sharding import shard_like

Groups: TypeAlias = dict[str, dict[str, Any]]
"""The hyperparameters of each group, by the name of its first parameter."""

SCHEDULED: Final = frozenset({"lr", "momentum", "betas"})
"""The hyperparameters that schedules change."""


def flatten_optimizer(
    optimizer: Optimizer, model: nn.Module
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The optimiser's state: tensors by `<parameter>/<name>`, and the rest as plain values.

    Raises:
        UserError: it has a state that belongs to no parameter, or that cannot be saved.
    """
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    named = {id(tensor): name for name, tensor in model.named_parameters()}
    if not all(id(key) in named for key in optimizer.state):
        raise UserError(
            f"{type(optimizer).__name__} keeps state that belongs to no parameter of the model. It "
            "cannot be saved, so a killed run could not be resumed. Use another optimiser."
        )
    for parameter, tensor in model.named_parameters():
        for name, value in optimizer.state.get(tensor, {}).items():
            key = f"{parameter}/{name}"
            packed = pack(value, key, tensors)
            if not isinstance(value, torch.Tensor):
                plain[key] = packed
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
    within = {name for value in plain.values() for name in references(value)}
    for key, value in [*tensors.items(), *plain.items()]:
        if key in within:
            continue
        parameter, name = key.rsplit("/", 1)
        like = parameters[parameter]
        placed = {one: _like(tensors[one], like) for one in references(value)}
        entry = _like(value, like) if isinstance(value, torch.Tensor) else unpack(value, placed)
        if id(like) in position:
            state.setdefault(position[id(like)], {})[name] = entry
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def hyperparameters(optimizer: Optimizer, model: nn.Module) -> Groups:
    """A copy of everything in the optimiser's groups but the parameters."""
    named = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        named[id(group["params"][0])]: {
            name: copy.deepcopy(value) for name, value in group.items() if name != "params"
        }
        for group in optimizer.param_groups
        if group["params"]
    }


def changed(now: Groups, before: Groups) -> Groups:
    """What training has changed in the groups: learning rates, and the state of some optimisers."""
    return {
        place: {
            name: value
            for name, value in group.items()
            if name not in before[place] or not is_equal(value, before[place][name])
        }
        for place, group in now.items()
    }


def restore_hyperparameters(
    optimizer: Optimizer, model: nn.Module, groups: Groups, *, without: Collection[str] = ()
) -> None:
    """Set what `changed` returned, but for some names, in the groups that there still are."""
    named = {id(parameter): name for name, parameter in model.named_parameters()}
    for group in optimizer.param_groups:
        if group["params"]:
            its = groups.get(named[id(group["params"][0])], {})
            group.update({name: value for name, value in its.items() if name not in without})


def _like(value: Tensor, like: Tensor) -> Tensor:
    """A tensor of the state of a parameter, where the parameter is."""
    if value.shape != like.shape:
        return value
    # In the parameter's own memory format: fused optimisers traverse both in parallel.
    return torch.empty_like(like, dtype=value.dtype).copy_(shard_like(value, like))
