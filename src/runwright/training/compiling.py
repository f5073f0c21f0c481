"""Compiling a model with torch.compile."""

import logging
from collections.abc import Iterator
from typing import Any, Final

from torch import nn

from runwright.optimizers.own_step import StepObjective

log = logging.getLogger(__name__)

_NOT_TRACED: Final = (
    "training.compile has no effect on a model that is a plain torch.nn.%s, which torch does not "
    "trace. Build a class of your own, whose forward calls it."
)


def compile_model(model: nn.Module, objective: object) -> None:
    """Compile the model in place; the parts of it, too, where they are called by themselves.

    A step of one's own may call any of them, and a model without a forward pass is called in parts.
    """
    if _has_forward(model):
        if type(model).__module__.startswith("torch.nn."):  # and says nothing of it
            log.warning(_NOT_TRACED, type(model).__name__)
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
