"""A convolutional network whose first layer whitens patches of the training images."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from runwright import DataInitialized
from runwright.domains.vision.batch import ImageBatch

_NUM_IMAGES: Final = 5000
_EPSILON: Final = 5e-4  # added to the variances: directions of hardly any must not be blown up


class WhitenedNetwork(nn.Module, DataInitialized):
    """Whitening, blocks of two convolutions with pooling, and one linear layer.

    The filters of the first layer are the principal directions of the patches of training images,
    divided by their standard deviation, and their negatives; only their biases are trained.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        patch: int,
        widths: Sequence[int],
        activation: Callable[[], nn.Module],
        norm_momentum: float,
        output_scale: float,
    ) -> None:
        """Build the network.

        Args:
            channels: of the images.
            num_classes: the number of classes.
            patch: width and height of a patch, in pixels.
            widths: the channels of each block.
            activation: makes the nonlinearity after each layer.
            norm_momentum: the weight of a batch in the running statistics of batch normalisation.
            output_scale: what the logits are multiplied by.
        """
        super().__init__()
        whitened = 2 * channels * patch**2
        self.whiten = nn.Conv2d(channels, whitened, patch)
        self.whiten.weight.requires_grad_(False)
        blocks: list[nn.Module] = [activation()]
        for before, width in zip([whitened, *widths], widths, strict=False):
            blocks += [
                _identity_convolution(before, width),
                nn.MaxPool2d(2),
                _norm(width, norm_momentum),
                activation(),
                _identity_convolution(width, width),
                _norm(width, norm_momentum),
                activation(),
            ]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(widths[-1], num_classes, bias=False)
        self.output_scale = output_scale
        memory_format: Any = {"memory_format": torch.channels_last}
        self.to(**memory_format)

    @override
    def forward(self, image: Tensor) -> Tensor:
        """Images (B, C, H, W) → logits (B, num_classes)."""
        features = self.blocks(self.whiten(image))
        return self.output_scale * self.head(features.amax(dim=(2, 3)))

    @override
    def initialize(self, batches: Iterator[Any]) -> None:
        """Set the filters of the first layer to whiten these images."""
        images: list[Tensor] = []
        for batch in batches:
            assert isinstance(batch, ImageBatch)
            images.append(batch.image)
            if sum(map(len, images)) >= _NUM_IMAGES:
                break
        weight = self.whiten.weight
        filters = _whitening_filters(torch.cat(images)[:_NUM_IMAGES], weight.shape[-1])
        weight.copy_(torch.cat([filters, -filters]))


def _whitening_filters(images: Tensor, patch: int) -> Tensor:
    """Filters (D, C, patch, patch), whose outputs for these images have no covariance.

    D is the number of values in a patch. Their outputs have a variance of 1, but for directions of
    less than about ε.
    """
    channels = images.shape[1]
    patches = functional.unfold(images, patch).transpose(1, 2).flatten(0, 1)  # (N, D)
    # On the CPU in float64: of the covariance alone, which is tiny, so that it is reproducible.
    products = patches.T @ patches / len(patches)
    eigen = cast("Any", torch.linalg).eigh(products.double().cpu())
    filters: Tensor = eigen.eigenvectors / (eigen.eigenvalues + _EPSILON).sqrt()
    return filters.T.reshape(-1, channels, patch, patch).to(images)


def _identity_convolution(before: int, after: int) -> nn.Conv2d:
    """A 3×3 convolution that at first passes the channels on, as far as there are."""
    convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(convolution.weight[:before])
    return convolution


def _norm(width: int, momentum: float) -> nn.BatchNorm2d:
    """Batch normalisation with a bias only: its scale would do what the next weights do."""
    norm = nn.BatchNorm2d(width, eps=1e-12, momentum=momentum)
    norm.weight.requires_grad_(False)
    return norm
