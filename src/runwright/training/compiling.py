"""Compiling a model with torch.compile."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from runwright.optimizers.own_step import StepObjective


def compile_model(model: nn.Module, objective: object) -> None:
    """Compile the model in place; the parts of it, too, where they are called by themselves.

    A step of one's own may call any of them, and a model without a forward pass is called in parts.
    """
    if _has_forward(model):
        model.compile()
    if isinstance(objective, StepObjective) or not _has_forward(model):
        for part in _parts(model):
            part.compile()


def _parts(model: nn.Module) -> Iterator[nn.Module]:
    """The parts of a model; of a mere container, its members."""
    for child in model.children():
        yield from [child] if _has_forward(child) else _parts(child)


def _has_forward(module: nn.Module) -> bool:
    forward: Any = type(module).forward
    return forward is not nn.Module.forward
