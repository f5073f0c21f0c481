"""Colouring digits."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

# ITU-R BT.601: the luminance of red, green and blue.
_LUMINANCE: Final = (0.299, 0.587, 0.114)


def choose_colors(
    labels: NDArray[np.int64], num_colors: int, correlation: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """A colour for each image: its class's for the fraction `correlation`, else a random one."""
    colors = rng.integers(num_colors, size=len(labels))
    follow = rng.permutation(len(labels))[: round(correlation * len(labels))]
    colors[follow] = labels[follow] % num_colors
    return colors


def color_digits(
    digits: NDArray[np.uint8],
    rgb: NDArray[np.float32],
    *,
    res: int,
    binarize: bool,
    background: bool,
    black: bool,
    greyscale: bool,
) -> Tensor:
    """Resize and colour digits.

    Args:
        digits: (N, H, W), the ink.
        rgb: (N, 3), the colour of each, in [0, 1].
        res: width and height of the images.
        binarize: whether to round grey values to 0 or 1 first.
        background: whether to colour the background instead of the digit.
        black: whether the uncoloured part is black instead of white.
        greyscale: whether to convert the coloured image to greyscale.

    Returns:
        (N, C, res, res) in [0, 1]; C is 1 with `greyscale`, else 3.
    """
    ink = torch.from_numpy(digits).float().div_(255).unsqueeze(1)
    if res != ink.shape[-1] and len(ink):
        ink = functional.interpolate(ink, (res, res), mode="bilinear", antialias=True)
    if binarize:
        ink = (ink > 0.5).float()
    color = torch.from_numpy(rgb)[:, :, None, None]
    if background:  # a black or white digit on a coloured background
        image = (1 - ink) * color if black else (1 - ink) * color + ink
    else:  # a coloured digit on a black or white background
        image = ink * color if black else ink * color + (1 - ink)
    if greyscale:
        image = (image * torch.tensor(_LUMINANCE)[:, None, None]).sum(dim=1, keepdim=True)
    return image.contiguous()
