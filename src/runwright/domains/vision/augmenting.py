"""Augmentation of a batch of images on the device: shifts, mirrors, RandAugment, cutout."""

from collections.abc import Sequence
from typing import Final, Literal

import torch
from torch import Tensor

from runwright import Draws
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.rand_augment import RandAugment
from runwright.domains.vision.resampling import resampled

# The numbers of the draws; those of RandAugment begin at the last.
_FLIP: Final = 0
_SHIFT: Final = (1, 2)
_CUT: Final = (3, 4)
_RAND_AUGMENT: Final = 8


class AugmentedImages:
    """Augments images; each as its draws say, alike in any batch."""

    def __init__(
        self,
        dims: ImageDims,
        mean: Sequence[float],
        device: torch.device,
        *,
        crop: int = 0,
        reflects: bool = True,
        flip: Literal["none", "random", "alternating"] = "none",
        num_ops: int = 0,
        magnitude: int = 9,
        cutout: int = 0,
    ) -> None:
        """Prepare for images of these Dims.

        Args:
            dims: their shape.
            mean: the colour of what is cut out, as a share of 255 for each channel.
            device: where they are.
            crop: the largest shift, in pixels.
            reflects: whether a shifted image continues mirrored, or with zeros.
            flip: `random` mirrors half of the images, others in every epoch; `alternating`
                mirrors half of them in the first epoch, and those that were not in the next, so
                that each is seen either way in two epochs (Jordan 2024,
                https://arxiv.org/abs/2404.00498).
            num_ops: the number of RandAugment's operations for each image.
            magnitude: how strong they are, 0 … 30.
            cutout: the side of the square that is cut out, in pixels (DeVries and Taylor 2017,
                https://arxiv.org/abs/1708.04552): its centre is anywhere in the image.
        """
        self.crop, self.reflects, self.flip, self.cutout = crop, reflects, flip, cutout
        self._size = dims.height, dims.width
        self._along = [torch.arange(side, device=device) for side in self._size]
        color = torch.tensor(mean, device=device).mul(255).round().to(torch.uint8)
        self._color = color[:, None, None]
        self._rand_augment = None
        if num_ops:
            self._rand_augment = RandAugment(
                num_ops, magnitude, self._size, device, first_draw=_RAND_AUGMENT
            )

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Augment a batch, (B, C, H, W), uint8."""
        if self.crop or self.flip != "none":
            images = resampled(images, *self._sources(draws), reflects=self.reflects)
        if self._rand_augment is not None:
            images = self._rand_augment(images, draws)
        if self.cutout:
            images = torch.where(self._is_cut(draws), self._color, images)
        return images

    def _sources(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """From which row and column each pixel is taken, (B, H, 1) and (B, 1, W)."""
        rows, columns = self._along
        columns = columns.expand(len(draws.index), -1)
        if (is_mirrored := self._mirrored(draws)) is not None:
            columns = torch.where(is_mirrored[:, None], columns.flip(1), columns)
        rows = rows.expand(len(draws.index), -1)
        if self.crop:
            down, right = (draws.integers(n, 2 * self.crop + 1) - self.crop for n in _SHIFT)
            rows, columns = rows + down[:, None], columns + right[:, None]
        return rows[:, :, None], columns[:, None, :]

    def _mirrored(self, draws: Draws) -> Tensor | None:
        if self.flip == "none":
            return None
        if self.flip == "random":
            return draws.coins(_FLIP)
        first = draws.coins(_FLIP, every_epoch=False)
        return first ^ (draws.epoch % 2 == 1)

    def _is_cut(self, draws: Draws) -> Tensor:
        """Where the square is, (B, 1, H, W)."""
        inside: list[Tensor] = []
        for number, side, along in zip(_CUT, self._size, self._along, strict=True):
            first = draws.integers(number, side)[:, None] - self.cutout // 2
            inside.append((along >= first) & (along < first + self.cutout))
        return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
