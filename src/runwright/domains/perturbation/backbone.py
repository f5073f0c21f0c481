"""Backbones: transformers over a set of cells."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

from runwright import Settings, settings

if TYPE_CHECKING:
    from torch import nn


@settings
class BackboneFactory(Settings, ABC, group="model/backbone"):
    """Interface of the factories of backbones; the group `model/backbone`."""

    @abstractmethod
    def build(self, hidden_dim: int) -> "nn.Module":
        """Build a transformer that knows no order, with fresh random weights.

        Every cell of a set sees every other, and there are no positions: a permutation of the cells
        permutes the outputs.

        Returns:
            A module that takes tokens, (B, S, H), and a mask, (B, S), bool, or None, and returns
            (B, S, H). Cells where the mask is false get no attention.
        """

    @abstractmethod
    def problems_with(self, hidden_dim: int) -> Iterator[str]:
        """Yield a sentence for everything that does not fit tokens of this size.

        The sentences are about the options of a model, `hidden_dim` and `backbone.…`.
        """
