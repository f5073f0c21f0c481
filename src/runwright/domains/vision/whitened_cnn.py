"""A small convolutional network that trains fast."""

from typing import TYPE_CHECKING

from typing_extensions import override

from runwright import ModelFactory, UserError, factory, option
from runwright.domains.vision.activation import Activation
from runwright.domains.vision.dims import ImageDims

if TYPE_CHECKING:
    from torch import nn


@factory("whitened_cnn")
class WhitenedCNNFactory(ModelFactory[ImageDims]):
    """Convolutions on whitened patches, fast to train (after Jordan 2024, airbench94)."""

    patch: int = option(default=2, ge=1, doc="width and height of a whitened patch, in pixels")
    widths: list[int] = option(
        default=[64, 256, 256], ge=1, doc="channels of each block, which halves the image"
    )
    activation: Activation = option(default=Activation.GELU, doc="nonlinearity after each layer")
    norm_momentum: float = option(
        default=0.4,
        gt=0,
        le=1,
        doc="weight of a batch in the running statistics of batch normalisation",
    )
    output_scale: float = option(default=1 / 9, gt=0, doc="what the logits are multiplied by")

    @override
    def build(self, dims: ImageDims) -> "nn.Module":
        """The network; see `WhitenedNetwork`. Its first layer follows from the training images."""
        from runwright.domains.vision.whitening import WhitenedNetwork

        if not self.widths:
            raise UserError("model.widths must not be empty.")
        left = (min(dims.height, dims.width) - self.patch + 1) // 2 ** len(self.widths)
        if left < 1:
            raise UserError(
                f"model.widths has {len(self.widths)} blocks, each of which halves the image: they "
                f"leave no pixels of {dims.height}×{dims.width} ones. Use fewer blocks, or larger "
                "images (dm.default_res)."
            )
        return WhitenedNetwork(
            dims.channels,
            dims.num_classes,
            patch=self.patch,
            widths=self.widths,
            activation=self.activation.build,
            norm_momentum=self.norm_momentum,
            output_scale=self.output_scale,
        )
