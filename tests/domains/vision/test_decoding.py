"""Decoding: the pixels are torchvision's, and what is not an image is reported."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from domains.vision.faces import images_folder
from runwright.domains.vision.decoding import decode_image, decode_images


@pytest.mark.parametrize("res", [16, 33, 64, 224])
@pytest.mark.parametrize("size", [(178, 218), (300, 200), (97, 97)])
def test_pixels_are_those_of_torchvisions_resize_and_crop(
    tmp_path: Path, size: tuple[int, int], res: int
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    resize = transforms.Compose([transforms.Resize(res), transforms.CenterCrop(res)])
    expected = np.asarray(resize(Image.fromarray(noise))).transpose(2, 0, 1)
    assert np.array_equal(decode_image(tmp_path / "noise.png", res), expected)


def test_what_cannot_be_decoded_is_told_by_its_position(root: Path) -> None:
    good = min(images_folder(root).iterdir())
    (root / "bad.jpg").write_bytes(b"not a picture")
    decoded, broken = decode_images([good, root / "bad.jpg", root / "none.jpg"], 16)
    assert np.array_equal(decoded[0], decode_image(good, 16))
    assert broken.keys() == {1, 2}
    assert "cannot identify image file" in broken[1]
