"""A model of our own, in a file of our own."""

from typing import TYPE_CHECKING

from runwright import ModelFactory, factory, option
from runwright.domains.vision.dims import ImageDims

if TYPE_CHECKING:
    from torch import nn


@factory("pooled_linear")
class PooledLinearFactory(ModelFactory[ImageDims]):
    """Linear layer on the average-pooled image."""

    size: int = option(default=7, ge=1, doc="width and height after pooling, in pixels")

    def build(self, dims: ImageDims) -> "nn.Module":
        """Pool, flatten, classify."""
        from torch import nn

        linear = nn.Linear(dims.channels * self.size**2, dims.num_classes)
        return nn.Sequential(nn.AdaptiveAvgPool2d(self.size), nn.Flatten(), linear)
