"""Torchvision's classification data sets: what is known of each before it is read."""

from collections.abc import Mapping
from typing import Any, Final

import attrs

_DIGITS: Final = tuple("0123456789")


@attrs.frozen(kw_only=True)
class TorchvisionSet:
    """A data set of torchvision.

    Attributes:
        channels: of an image.
        size: width and height of all images; None if they differ.
        num_classes: the number of classes.
        parts: the arguments of torchvision's class for `train`, `test` and perhaps `val`.
        files: where it is below the root: folders, or files.
        class_names: the names of the classes, where torchvision does not have them.
    """

    channels: int = 3
    size: int | None = None
    num_classes: int
    parts: Mapping[str, Mapping[str, Any]]
    files: tuple[str, ...]
    class_names: tuple[str, ...] | None = None


_BY_TRAIN: Final = {"train": {"train": True}, "test": {"train": False}}
_BY_SPLIT: Final = {"train": {"split": "train"}, "test": {"split": "test"}}
_WITH_VAL: Final = {**_BY_SPLIT, "val": {"split": "val"}}


def _digits(name: str) -> TorchvisionSet:
    return TorchvisionSet(
        channels=1, size=28, num_classes=10, parts=_BY_TRAIN, files=(f"{name}/raw",)
    )


SETS: Final[dict[str, TorchvisionSet]] = {
    "CIFAR10": TorchvisionSet(
        size=32, num_classes=10, parts=_BY_TRAIN, files=("cifar-10-batches-py",)
    ),
    "CIFAR100": TorchvisionSet(
        size=32, num_classes=100, parts=_BY_TRAIN, files=("cifar-100-python",)
    ),
    "MNIST": _digits("MNIST"),
    "FashionMNIST": _digits("FashionMNIST"),
    "KMNIST": _digits("KMNIST"),
    "USPS": TorchvisionSet(
        channels=1,
        size=16,
        num_classes=10,
        parts=_BY_TRAIN,
        files=("usps.bz2", "usps.t.bz2"),
        class_names=_DIGITS,
    ),
    "SVHN": TorchvisionSet(
        size=32,
        num_classes=10,
        parts=_BY_SPLIT,
        files=("train_32x32.mat", "test_32x32.mat"),
        class_names=_DIGITS,
    ),
    "STL10": TorchvisionSet(size=96, num_classes=10, parts=_BY_SPLIT, files=("stl10_binary",)),
    "Flowers102": TorchvisionSet(num_classes=102, parts=_WITH_VAL, files=("flowers-102",)),
    "OxfordIIITPet": TorchvisionSet(
        num_classes=37,
        parts={"train": {"split": "trainval"}, "test": {"split": "test"}},
        files=("oxford-iiit-pet",),
    ),
    "Food101": TorchvisionSet(num_classes=101, parts=_BY_SPLIT, files=("food-101",)),
    "DTD": TorchvisionSet(num_classes=47, parts=_WITH_VAL, files=("dtd",)),
}
"""By the name of torchvision's class."""
