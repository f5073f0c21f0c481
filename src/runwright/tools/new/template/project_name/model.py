"""The model: its factory holds what can be chosen, and builds it when the data are known."""

import itertools
from typing import TYPE_CHECKING

from runwright import ModelFactory, factory, option

from .data import PointDims

if TYPE_CHECKING:
    from torch import nn


@factory("mlp")
class MLPFactory(ModelFactory[PointDims]):
    """Fully connected layers."""

    hidden_dim: int = option(default=64, ge=1, doc="width of the hidden layers")
    num_hidden: int = option(default=2, ge=0, doc="number of hidden layers")

    def build(self, dims: PointDims) -> "nn.Module":
        """Points (B, features) → one logit for each class (B, num_classes)."""
        from torch import nn

        widths = [dims.features, *[self.hidden_dim] * self.num_hidden]
        layers: list[nn.Module] = []
        for before, width in itertools.pairwise(widths):
            layers += [nn.Linear(before, width), nn.GELU()]
        return nn.Sequential(*layers, nn.Linear(widths[-1], dims.num_classes))
