"""RandAugment (Cubuk et al. 2020, https://arxiv.org/abs/1909.13719), for a batch on the device.

The operations and how strong they are at each magnitude are those of
`torchvision.transforms.RandAugment` with its defaults. It draws one operation for a whole call;
here each image draws its own. The pixels are torchvision's too, and sums are of integers, so that
an image comes out the same in a batch of any size.
"""

import math
from typing import Final

import torch
from torch import Tensor

from runwright import Draws
from runwright.domains.vision.resampling import resampled

_BINS: Final = 31
_GEOMETRIC: Final = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
_BLENDS: Final = ("brightness", "color", "contrast", "sharpness")
_OPERATIONS: Final = (
    *("identity", *_GEOMETRIC, *_BLENDS),
    *("posterize", "solarize", "autocontrast", "equalize"),
)
_LUMINANCE: Final = (0.2989, 0.587, 0.114)  # torchvision's


class RandAugment:
    """Does some random operations to each image, one after the other.

    Attributes:
        num_ops: how many.
        picks: whether an operation is done only to the images that drew it; else to all, and then
            those are chosen. The pixels are the same.
    """

    def __init__(
        self,
        num_ops: int,
        magnitude: int,
        size: tuple[int, int],
        device: torch.device,
        *,
        first_draw: int,
    ) -> None:
        """Prepare for images of a size (H, W).

        Args:
            num_ops: how many operations each image gets.
            magnitude: how strong they are, 0 … 30.
            size: height and width.
            device: where the images are.
            first_draw: the number of the first draw; each operation takes two.
        """
        height, width = size
        share = magnitude / (_BINS - 1)
        self.num_ops = num_ops
        self.picks = device.type == "cpu"
        self._first_draw = first_draw
        self._shear = 0.3 * share
        self._shift = int(150 / 331 * width * share), int(150 / 331 * height * share)
        self._angle = math.radians(30 * share)
        self._blend = 0.9 * share
        self._bits = 8 - round(share * 4)
        self._threshold = 255 * (1 - share)
        self._y = torch.arange(height, device=device)[:, None] - (height - 1) / 2
        self._x = torch.arange(width, device=device) - (width - 1) / 2

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Augment a batch, (B, C, H, W), uint8."""
        for place in range(self.num_ops):
            number = self._first_draw + 2 * place
            operation = draws.integers(number, len(_OPERATIONS))
            sign = 1 - 2 * draws.coins(number + 1).to(torch.float32)
            images = self.apply(images, operation, sign)
        return images

    def apply(self, images: Tensor, operation: Tensor, sign: Tensor) -> Tensor:
        """Do one operation to each image.

        Args:
            images: (B, C, H, W), uint8.
            operation: the numbers of the operations, (B,).
            sign: 1 or −1, for operations that have a direction, (B,), float32.
        """
        changed = images
        without_effect = ("color",) * (images.shape[1] == 1)
        without_effect += ("sharpness",) * (min(images.shape[2:]) < 3)
        blends = tuple(name for name in _BLENDS if name not in without_effect)
        for names, change in (
            (_GEOMETRIC, self._moved),
            (blends, self._blended),
            (("posterize",), self._posterized),
            (("solarize",), self._solarized),
            (("autocontrast",), _stretched),
            (("equalize",), _equalized),
        ):
            which = torch.stack([_is(operation, name) for name in names]).any(0)
            if self.picks:  # on a CPU, this takes a third of the time
                places = which.nonzero().squeeze(1)
                some = change(images[places], operation[places], sign[places])
                changed = changed.index_copy(0, places, some)
            else:  # the shapes are fixed, and nothing waits for the device
                others = change(images, operation, sign)
                changed = torch.where(which[:, None, None, None], others, changed)
        return changed

    def _moved(self, images: Tensor, operation: Tensor, sign: Tensor) -> Tensor:
        """Sheared, shifted or turned; the nearest pixels are taken, and 0 beyond the border."""
        x, y = self._x, self._y
        height, width = len(y), len(x)

        def amount(name: str, full: float) -> Tensor:
            return torch.where(_is(operation, name), full * sign, 0.0)[:, None, None]

        angle = amount("rotate", self._angle)
        cos, sin = angle.cos(), angle.sin()
        # Shears leave the upper left corner where it is, rotations the centre.
        columns = cos * x - sin * y + amount("shear_x", self._shear) * (y + height / 2)
        rows = sin * x + cos * y + amount("shear_y", self._shear) * (x + width / 2)
        columns = columns - amount("translate_x", self._shift[0]) + (width - 1) / 2
        rows = rows - amount("translate_y", self._shift[1]) + (height - 1) / 2
        return resampled(images, rows.round().long(), columns.round().long(), reflects=False)

    def _blended(self, images: Tensor, operation: Tensor, sign: Tensor) -> Tensor:
        """Blended with black, itself in grey, its mean, or itself blurred; or away from these."""
        grey = _grey(images)
        mean = grey.sum(dim=(1, 2, 3), keepdim=True, dtype=torch.int64).double()
        mean = (mean / (grey.shape[2] * grey.shape[3])).float()
        other = _blurred(images).float()
        for name, values in (("contrast", mean), ("color", grey.float())):
            other = torch.where(_is(operation, name)[:, None, None, None], values, other)
        other = torch.where(_is(operation, "brightness")[:, None, None, None], 0.0, other)
        factor = 1 + (self._blend * sign)[:, None, None, None]
        return (factor * images + (1 - factor) * other).clamp(0, 255).to(torch.uint8)

    def _posterized(self, images: Tensor, _operation: Tensor, _sign: Tensor) -> Tensor:
        """With only the upper bits of each level."""
        return images & (256 - 2 ** (8 - self._bits))

    def _solarized(self, images: Tensor, _operation: Tensor, _sign: Tensor) -> Tensor:
        """With bright levels inverted."""
        return torch.where(images >= self._threshold, 255 - images, images)


def _is(operation: Tensor, name: str) -> Tensor:
    return operation == _OPERATIONS.index(name)


def _grey(images: Tensor) -> Tensor:
    """Images in grey, (B, 1, H, W), uint8."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    shares = _LUMINANCE
    grey = shares[0] * red + shares[1] * green + shares[2] * blue
    return grey.to(torch.uint8)[:, None]


def _blurred(images: Tensor) -> Tensor:
    """The mean of 3×3 pixels, the middle one counted five times; the border stays."""
    whole = images.to(torch.int32)
    height, width = images.shape[2:]
    if min(height, width) < 3:
        return images
    total = 4 * whole[:, :, 1:-1, 1:-1]
    for row in range(3):
        for column in range(3):
            total = total + whole[:, :, row : row + height - 2, column : column + width - 2]
    blurred = images.clone()
    blurred[:, :, 1:-1, 1:-1] = ((2 * total + 13) // 26).to(torch.uint8)  # total / 13, rounded
    return blurred


def _stretched(images: Tensor, _operation: Tensor, _sign: Tensor) -> Tensor:
    """Each channel stretched to 0 … 255."""
    low = images.amin(dim=(2, 3), keepdim=True).float()
    high = images.amax(dim=(2, 3), keepdim=True).float()
    is_flat = high == low
    scale = torch.where(is_flat, 1.0, 255 / (high - low))
    low = torch.where(is_flat, 0.0, low)
    return ((images - low) * scale).clamp(0, 255).to(torch.uint8)


def _equalized(images: Tensor, _operation: Tensor, _sign: Tensor) -> Tensor:
    """Each channel's levels spread so that all are about as frequent."""
    flat = images.flatten(2).long()
    counts = torch.zeros(*flat.shape[:2], 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, flat, torch.ones_like(flat))
    levels = torch.arange(256, device=images.device)
    highest = torch.where(counts > 0, levels, -1).amax(dim=2, keepdim=True)
    step = (flat.shape[2] - counts.gather(2, highest)) // 255
    below = counts.cumsum(2) - counts  # how many pixels are darker than each level
    table = ((below + step // 2) // step.clamp(min=1)).clamp(0, 255)
    table = torch.where(step > 0, table, levels).to(torch.uint8)
    return table.gather(2, flat).view_as(images)
