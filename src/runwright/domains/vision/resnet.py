"""Residual networks."""

from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import override

from runwright import ModelFactory, factory, option, require_extra
from runwright.domains.vision.dims import ImageDims

if TYPE_CHECKING:
    from torch import nn


@factory("resnet")
class ResNetFactory(ModelFactory[ImageDims]):
    """Torchvision's residual network (He et al. 2016)."""

    depth: Literal[18, 34, 50, 101, 152] = option(default=18, doc="number of layers")
    small_images: bool | None = option(
        default=None,
        doc="3×3 first convolution without pooling; null means for images below 64 pixels",
    )
    weights: str | None = option(
        default=None, doc="pretrained weights to download, by torchvision's name, e.g. DEFAULT"
    )

    @override
    def preflight(self) -> None:
        require_extra("torchvision", "vision", "model=resnet")

    @override
    def build(self, dims: ImageDims) -> "nn.Module":
        """Torchvision's network, with a first layer that suits the size of the image."""
        from torch import nn

        from runwright.domains.vision.classifiers import build_classifier, channels_last

        model: Any = build_classifier(f"resnet{self.depth}", self.weights, dims)
        is_small = min(dims.height, dims.width) < 64 and self.weights is None
        if is_small if self.small_images is None else self.small_images:
            # The stem of He et al. (2016) for CIFAR: it keeps the few pixels that there are.
            model.conv1 = nn.Conv2d(dims.channels, 64, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
            model.maxpool = nn.Identity()
        return channels_last(model)
