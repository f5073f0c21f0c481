"""From images as they are kept to what a model gets: augmented and normalised, on the device."""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import attrs
import numpy as np
import torch
from scipy import special
from torch import Tensor

from runwright import Draws
from runwright.domains.vision.batch import ImageBatch, MixedImages, RawImages

Augment: TypeAlias = Callable[[Tensor, Draws], Tensor]
"""Takes uint8 images (B, C, H, W) on the training device and their draws; returns others."""

_OTHER: Final = 62  # the number of a draw
_SHARE: Final = 63
_QUANTILES: Final = 4096


@attrs.frozen(kw_only=True)
class Normalization:
    """Subtracts the mean of each channel and divides by its standard deviation.

    Attributes:
        mean, sd: (C, 1, 1), float32, of images in [0, 1].
    """

    mean: Tensor
    sd: Tensor

    @classmethod
    def of(
        cls, mean: Sequence[float], sd: Sequence[float], device: torch.device
    ) -> "Normalization":
        """The normalisation with these numbers, one for each channel or one for all."""
        pair = (torch.tensor(values, device=device)[:, None, None] for values in (mean, sd))
        return cls(mean=next(pair), sd=next(pair))

    def __call__(self, image: Tensor) -> Tensor:
        """Normalise images in 0 … 255, uint8."""
        return image.float().div_(255).sub_(self.mean).div_(self.sd)

    def undone_in(self, batch: ImageBatch) -> ImageBatch:
        """The batch with images in [0, 1]."""
        return attrs.evolve(batch, image=batch.image * self.sd + self.mean)


class Mixup:
    """Blends each image with another of the split (Zhang et al. 2018, arxiv.org/abs/1710.09412).

    The other one is drawn from the whole split instead of from the batch, and the share is drawn
    for each image, so that what becomes of an image does not depend on its batch. Of the two, the
    image itself has the larger share, so that in an epoch each is seen about once; the pairs and
    their shares are distributed as in the paper.
    """

    def __init__(self, alpha: float, num_examples: int, device: torch.device) -> None:
        """Draw shares from Beta(α, α).

        Args:
            alpha: α; the larger, the more the two are in balance.
            num_examples: the number of examples in the split.
            device: where the images are blended.
        """
        self.num_examples = num_examples
        levels = 0.5 + (np.arange(_QUANTILES) + 0.5) / (2 * _QUANTILES)
        quantiles = special.betaincinv(alpha, alpha, levels)
        self._shares = torch.from_numpy(quantiles).float().to(device)

    def others(self, draws: Draws) -> Tensor:
        """The positions in the split of what the images are blended with, (B,), int64."""
        return draws.integers(_OTHER, self.num_examples)

    def shares(self, draws: Draws) -> Tensor:
        """The share of each image itself, (B,), float32."""
        return self._shares[draws.integers(_SHARE, _QUANTILES)]


@attrs.frozen(kw_only=True)
class Preparation:
    """What is done to the images of a split.

    Attributes:
        normalization: of the pixels.
        seed: what the draws depend on, besides the epoch and the example.
        augment: the augmentation, if there is one.
        mixup: the blending with other images, if there is one.
    """

    normalization: Normalization
    seed: int = 0
    augment: Augment | None = None
    mixup: Mixup | None = None

    def unaugmented(self) -> "Preparation":
        """The same without what is drawn at random."""
        return Preparation(normalization=self.normalization)

    def others(self, index: Tensor, epoch: int) -> Tensor | None:
        """The positions of what the examples are to be blended with, if anything."""
        if self.mixup is None:
            return None
        return self.mixup.others(Draws(self.seed, epoch, index))

    def __call__(self, raw: RawImages) -> ImageBatch:
        """Augment and normalise images, on their device."""
        image = self._image(raw)
        if self.mixup is None or raw.others is None:
            return ImageBatch(image=image, label=raw.label, group=raw.group)
        share = self.mixup.shares(Draws(self.seed, raw.epoch, raw.index))
        weight = share[:, None, None, None]
        image = weight * image + (1 - weight) * self._image(raw.others)
        return MixedImages(
            image=image,
            label=raw.label,
            group=raw.group,
            other_label=raw.others.label,
            share=share,
        )

    def _image(self, raw: RawImages) -> Tensor:
        image = raw.image
        if self.augment is not None:
            image = self.augment(image, Draws(self.seed, raw.epoch, raw.index))
        return self.normalization(image)
