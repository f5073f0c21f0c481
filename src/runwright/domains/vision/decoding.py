"""Decoding: from image files to square uint8 images. Imports no torch: worker processes run it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, __version__

from runwright.domains.vision.workers import serve

DECODER: Final = f"Pillow {__version__}, bilinear, centre crop, 1"
"""Everything beside the files and the resolution that the pixels depend on."""


def decode_image(path: Path, res: int) -> NDArray[np.uint8]:
    """Decode an image, its shorter side resized to `res` pixels, cropped to the central square.

    The pixels are those of torchvision's `Resize(res)` and `CenterCrop(res)`.

    Returns:
        RGB of shape (3, res, res).

    Raises:
        OSError: the file is missing, cut short, or no image; Pillow knows of `ValueError` and
            `SyntaxError` too.
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


def decode_chunk(job: Mapping[str, Any], items: range) -> dict[int, str]:
    """Decode some of the job's files and write them to their place in the job's array.

    Args:
        job: `folder` and `names` of the files, `res`, and `array`, the file to write to, whose
            first image begins at the byte `offset`.
        items: which of the names; they follow one another.

    Returns:
        Why an image could not be decoded, by its number.
    """
    res: int = job["res"]
    decoded = np.zeros((len(items), 3, res, res), dtype=np.uint8)
    broken: dict[int, str] = {}
    for position, item in enumerate(items):
        try:
            decoded[position] = decode_image(Path(job["folder"]) / job["names"][item], res)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            broken[item] = str(error)
    with Path(job["array"]).open("r+b") as file:
        file.seek(job["offset"] + items.start * decoded[0].nbytes)
        file.write(decoded.data)
    return broken


if __name__ == "__main__":
    serve(decode_chunk)
