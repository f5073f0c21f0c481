"""Decoding: from image files to square uint8 images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, __version__

DECODER: Final = f"Pillow {__version__}, bilinear, centre crop, 1"
"""Everything, besides the files and the resolution, that the pixels depend on."""


def decode_image(path: Path, res: int) -> NDArray[np.uint8]:
    """Decode an image, its shorter side resized to `res` pixels, cropped to the central square.

    The pixels are those of torchvision's `Resize(res)` and `CenterCrop(res)`.

    Returns:
        RGB of shape (3, res, res).

    Raises:
        OSError: the file is missing, cut short, or not an image; Pillow may also raise
            `ValueError` and `SyntaxError`.
    """
    with Image.open(path) as file:
        image = file.convert("RGB")
    width, height = image.size
    shorter = min(width, height)
    size = (int(res * width / shorter), int(res * height / shorter))
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = round((size[0] - res) / 2), round((size[1] - res) / 2)
    image = image.crop((left, top, left + res, top + res))
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def decode_images(paths: Sequence[Path], res: int) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """Decode several images.

    Returns:
        RGB of shape (N, 3, res, res), and why an image could not be decoded, by its position.
    """
    decoded = np.zeros((len(paths), 3, res, res), dtype=np.uint8)
    broken: dict[int, str] = {}
    for position, path in enumerate(paths):
        try:
            decoded[position] = decode_image(path, res)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            broken[position] = str(error)
    return decoded, broken
