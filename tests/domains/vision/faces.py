"""Simulated faces, as the tests of CelebA use them."""

from collections.abc import Callable
from pathlib import Path

import torch

from runwright.data import Data
from runwright.device.runtime import Runtime
from runwright.domains.vision.batch import ImageBatch
from runwright.domains.vision.celeba import CelebADataModule
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.mapped import MappedImages

NUM_IMAGES = 150
RES = 16
Faces = Data[ImageDims, ImageBatch]


def build(root: Path, *, seed: int = 3, **options: object) -> Faces:
    chosen = {"default_res": RES, "batch_size": 20, **options}
    module = CelebADataModule(root=root, **chosen)  # pyright: ignore[reportArgumentType]  # checked by the class
    return module.build(Runtime(device=torch.device("cpu"), seed=seed, run_dir=root))


def mapped(split: object) -> MappedImages:
    assert isinstance(split, MappedImages)
    return split


def images_folder(root: Path) -> Path:
    return root / "celeba" / "img_align_celeba"


def edit(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
