"""Nonlinearities that can be chosen."""

import enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


class Activation(enum.Enum):
    """Nonlinearities, by their usual names."""

    RELU = "ReLU"
    GELU = "GELU"
    SELU = "SELU"
    SILU = "SiLU"
    ELU = "ELU"
    TANH = "Tanh"

    def build(self) -> "nn.Module":
        """Torch's layer of this name."""
        from torch import nn

        layer: Any = getattr(nn, self.value)
        return layer()
