"""Decoding: the pixels are torchvision's, and what is not an image is reported."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from runwright.domains.vision.decoding import WrongSizeError, pixels_of, size_of


@pytest.mark.parametrize("res", [16, 33, 64, 224])
@pytest.mark.parametrize("size", [(178, 218), (300, 200), (97, 97)])
def test_pixels_are_those_of_torchvisions_resize_and_crop(size: tuple[int, int], res: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    resize = transforms.Compose([transforms.Resize(res), transforms.CenterCrop(res)])
    expected = np.asarray(resize(Image.fromarray(noise))).transpose(2, 0, 1)
    assert np.array_equal(pixels_of(Image.fromarray(noise), (3, res, res)), expected)


def opened(image: Image.Image, path: Path, **options: Any) -> Image.Image:
    """What Pillow opens of the file that it saved."""
    image.save(path, **options)
    with Image.open(path) as file:
        file.load()
        return file


def test_of_16_bits_the_upper_8_are_taken(tmp_path: Path) -> None:
    levels = np.array([[0, 255, 256, 65535]], dtype=np.uint16)
    image = opened(Image.fromarray(levels), tmp_path / "deep.png")
    assert image.mode.startswith("I;16")
    assert pixels_of(image, (1, 1, 4), resizes=False).tolist() == [[[0, 0, 1, 255]]]
    assert pixels_of(image, (3, 1, 4), resizes=False)[2].tolist() == [[0, 0, 1, 255]]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_32_bits_are_refused(tmp_path: Path, mode: str) -> None:
    image = opened(Image.new(mode, (4, 4)), tmp_path / "deep.tiff")
    with pytest.raises(ValueError, match="32 bits"):
        pixels_of(image, (3, 4, 4))


@pytest.mark.parametrize(("mode", "clear"), [("RGBA", (9, 9, 9, 0)), ("LA", (9, 0))])
def test_what_is_transparent_is_white(tmp_path: Path, mode: str, clear: tuple[int, ...]) -> None:
    opaque = (*clear[:-1], 255)
    image = Image.new(mode, (2, 1), clear)
    image.putpixel((1, 0), opaque)
    image = opened(image, tmp_path / "clear.png")
    assert pixels_of(image, (3, 1, 2), resizes=False)[0].tolist() == [[255, 9]]


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    image = opened(Image.new("RGB", (3, 3), (250, 0, 10)).quantize(4), tmp_path / "few.gif")
    assert image.mode == "P"
    assert pixels_of(image, (3, 3, 3))[:, 0, 0].tolist() == [250, 0, 10]


def test_a_photograph_is_turned_as_it_is_seen(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3, 3), dtype=np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the top is on the right
    image = opened(Image.fromarray(pixels), tmp_path / "turned.png", exif=exif)
    assert size_of(image) == (2, 3)
    seen = pixels_of(image, (1, 3, 2), resizes=False)
    assert seen[0].tolist() == [[0, 255], [0, 0], [0, 0]]


def test_another_size_is_refused_unless_it_is_to_be_resized() -> None:
    with pytest.raises(WrongSizeError, match="5×4 pixels, not 4×4"):
        pixels_of(Image.new("L", (5, 4)), (1, 4, 4), resizes=False)
