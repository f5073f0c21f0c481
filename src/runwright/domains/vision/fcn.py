"""A fully connected network; without hidden layers it is linear."""

import enum
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from runwright import ModelFactory, UserError, factory, option
from runwright.domains.vision.activation import Activation
from runwright.domains.vision.dims import ImageDims

if TYPE_CHECKING:
    from torch import nn

# Limit of a hidden layer "as wide as the input"; images of 224 pixels would make 22 billion.
_MOST_WEIGHTS: Final = 10_000_000

# No machine holds more weights, and making more layers takes minutes even without memory.
_MAX_BYTES: Final = 2**40
_MAX_LAYERS: Final = 10_000


class NormType(enum.Enum):
    """Normalisation layers."""

    LN = "LayerNorm"
    BN = "BatchNorm1d"

    def build(self, width: int) -> "nn.Module":
        """The layer for vectors of this length."""
        from torch import nn

        return nn.LayerNorm(width) if self is NormType.LN else nn.BatchNorm1d(width)


@factory("fcn")
class FcnFactory(ModelFactory[ImageDims]):
    """Fully connected network on the flattened image."""

    num_hidden: int = option(default=1, ge=0, doc="number of hidden layers; 0 is a linear model")
    hidden_dim: int | None = option(
        default=None,
        ge=1,
        doc="width of the hidden layers; null is the input's, at most 10 million weights",
    )
    activation: Activation = option(default=Activation.GELU, doc="nonlinearity after each layer")
    norm: NormType | None = option(default=NormType.LN, doc="normalisation before the activation")
    dropout_prob: float = option(default=0.0, ge=0, lt=1, doc="dropout after each hidden layer")
    final_bias: bool = option(default=True, doc="whether the last layer has a bias")
    input_norm: bool = option(default=False, doc="whether to normalise the input as well")

    @override
    def problems(self) -> Iterator[str]:
        if self.num_hidden > _MAX_LAYERS:
            yield f"`num_hidden` must be ≤ {_MAX_LAYERS:,} layers, got {self.num_hidden:,}"

    @override
    def build(self, dims: ImageDims) -> "nn.Module":
        """Flatten, `num_hidden` blocks of (linear, normalisation, activation, dropout), linear."""
        from torch import nn

        width = dims.channels * dims.height * dims.width
        hidden = self.hidden_dim or min(width, max(1, _MOST_WEIGHTS // width))
        self._check_size(width, hidden, dims.num_classes)
        layers: list[nn.Module] = [nn.Flatten()]
        if self.input_norm and self.norm is not None:
            layers.append(self.norm.build(width))
        for _ in range(self.num_hidden):
            block: list[nn.Module] = [nn.Linear(width, hidden)]
            if self.norm is not None:
                block.append(self.norm.build(hidden))
            block.append(self.activation.build())
            if self.dropout_prob:
                block.append(nn.Dropout(self.dropout_prob))
            layers.append(nn.Sequential(*block))
            width = hidden
        layers.append(nn.Linear(width, dims.num_classes, bias=self.final_bias))
        return nn.Sequential(*layers)

    def _check_size(self, width: int, hidden: int, num_classes: int) -> None:
        widths = [width, *[hidden] * self.num_hidden, num_classes]
        num_weights = sum(above * below for above, below in itertools.pairwise(widths))
        if 4 * num_weights > _MAX_BYTES:
            raise UserError(
                f"model.num_hidden={self.num_hidden} with layers of {hidden:,} on images of "
                f"{width:,} numbers makes {num_weights:,} weights, {4 * num_weights / 2**40:,.1f} "
                "TiB. Use fewer or narrower layers (model.hidden_dim), or smaller images "
                "(dm.default_res)."
            )
