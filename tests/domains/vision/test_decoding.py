"""Decoding: the pixels are torchvision's, and a worker's failure is not lost."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from domains.vision.faces import NUM_IMAGES, images_folder
from runwright.domains.vision.decoding import decode_image
from runwright.domains.vision.workers import WorkerError, work_in_processes


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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_is_full_for_a_worker_is_an_error(root: Path) -> None:
    names = sorted(path.name for path in images_folder(root).iterdir())
    job = {"folder": str(images_folder(root)), "names": names, "res": 64, "offset": 0}
    with pytest.raises(WorkerError, match="No space left on device"):
        work_in_processes(
            "runwright.domains.vision.decoding",
            {**job, "array": "/dev/full"},
            num_items=NUM_IMAGES,
            title="Decoding",
        )
