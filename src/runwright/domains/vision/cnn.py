"""A small convolutional network."""

from typing import TYPE_CHECKING

from typing_extensions import override

from runwright import ModelFactory, UserError, factory, option
from runwright.domains.vision.activation import Activation
from runwright.domains.vision.dims import ImageDims

if TYPE_CHECKING:
    from torch import nn


@factory("cnn")
class SimpleCNNFactory(ModelFactory[ImageDims]):
    """Small convolutional network: two convolutions with pooling, three linear layers."""

    kernel_size: int = option(default=5, ge=1, doc="width and height of the kernels, in pixels")
    pool_stride: int = option(default=2, ge=1, doc="stride of the 2×2 max-pooling, in pixels")
    activation: Activation = option(default=Activation.RELU, doc="nonlinearity after each layer")

    @override
    def build(self, dims: ImageDims) -> "nn.Module":
        """Two blocks of (convolution, activation, max-pooling), then linear layers of 120 and 84.

        The proportions are those of LeNet-5 (LeCun et al. 1998), for every shape of the image.
        """
        from torch import nn

        height, width = self._size_after_the_blocks(dims)
        layers: list[nn.Module] = []
        channels = dims.channels
        for out_channels in (6, 16):
            layers += [
                nn.Conv2d(channels, out_channels, self.kernel_size),
                self.activation.build(),
                nn.MaxPool2d(2, stride=self.pool_stride),
            ]
            channels = out_channels
        layers.append(nn.Flatten())
        in_features = channels * height * width
        for out_features in (120, 84):
            layers += [nn.Linear(in_features, out_features), self.activation.build()]
            in_features = out_features
        layers.append(nn.Linear(in_features, dims.num_classes))
        # Not channels-last: with so few channels, that makes a training step slower on a CPU; see
        # benchmarks/layout.py.
        return nn.Sequential(*layers)

    def _size_after_the_blocks(self, dims: ImageDims) -> tuple[int, int]:
        """Height and width of the two blocks' output for an image.

        Raises:
            UserError: the convolutions or poolings leave no pixel.
        """
        height, width = dims.height, dims.width
        sizes = [f"input {height}×{width}"]
        for block in (1, 2):
            height, width = (side - self.kernel_size + 1 for side in (height, width))
            sizes.append(f"convolution {block} → {height}×{width}")
            if min(height, width) >= 1:
                height, width = ((side - 2) // self.pool_stride + 1 for side in (height, width))
                sizes.append(f"pooling {block} → {height}×{width}")
            if min(height, width) < 1:
                raise UserError(
                    f"model.kernel_size={self.kernel_size} and model.pool_stride="
                    f"{self.pool_stride} leave no pixels: {', '.join(sizes)}. Use a smaller kernel "
                    "or stride, or larger images (dm.default_res)."
                )
        return height, width
