"""Decoding: from what Pillow opens to uint8 pixels of one shape."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, __version__

DECODER: Final = f"Pillow {__version__}, bilinear, centre crop, 2"
"""Everything, besides the images and their shape, that the pixels depend on."""

_SIDEWAYS: Final = (5, 6, 7, 8)  # orientations of EXIF in which width and height change places
_ORIENTATION: Final = 0x0112


class WrongSizeError(ValueError):
    """An image that is not to be resized has another size than the others."""


def size_of(image: Image.Image) -> tuple[int, int]:
    """Width and height of an image as it is seen; only its header is read."""
    width, height = image.size
    is_sideways = image.getexif().get(_ORIENTATION) in _SIDEWAYS
    return (height, width) if is_sideways else (width, height)


def pixels_of(
    image: Image.Image, shape: tuple[int, int, int], *, resizes: bool = True
) -> NDArray[np.uint8]:
    """Decode an image, in the orientation in which it is seen.

    Args:
        image: what Pillow opened. Of 16 bits the upper 8 are taken; what is transparent is white.
        shape: (C, H, W), with 3 or 1 channels.
        resizes: whether the shorter side is resized and the centre cropped; such pixels of an RGB
            image are those of torchvision's `Resize` and `CenterCrop`, which are square.

    Returns:
        RGB or grey, of this shape.

    Raises:
        WrongSizeError: it is not to be resized, and has another size.
        OSError: the file is cut short, or not an image; Pillow may also raise `ValueError` and
            `SyntaxError`.
    """
    channels, height, width = shape
    image = _as_8_bit(ImageOps.exif_transpose(image), "L" if channels == 1 else "RGB")
    if not resizes and image.size != (width, height):
        raise WrongSizeError("it has {}×{} pixels, not {}×{}".format(*image.size, width, height))
    if resizes:
        image = _square(image, width)
    pixels = np.asarray(image)
    return np.ascontiguousarray(pixels[None] if channels == 1 else pixels.transpose(2, 0, 1))


def _as_8_bit(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):  # Pillow would clip them at 255
        raise ValueError("its pixels have 32 bits; convert it to 8 or 16 bits")
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), seen)
    return image.convert(mode)


def _square(image: Image.Image, res: int) -> Image.Image:
    width, height = image.size
    shorter = min(width, height)
    size = (int(res * width / shorter), int(res * height / shorter))
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = round((size[0] - res) / 2), round((size[1] - res) / 2)
    return image.crop((left, top, left + res, top + res))
