"""Coloured digits: what is in them, and that they are the same for every seed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from runwright.data import Data
from runwright.data.batching import InMemory
from runwright.device.runtime import Runtime
from runwright.domains.vision.batch import ImageBatch
from runwright.domains.vision.cmnist import ColoredMNISTDataModule
from runwright.domains.vision.coloring import choose_colors
from runwright.domains.vision.digits import bundled_digits
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.palette import PALETTE
from runwright.errors import UserError
from runwright.factory import OptionError

RGB = np.array(list(PALETTE.values()), dtype=np.float32) / np.float32(255)


def build(seed: int = 0, **options: Any) -> Data[ImageDims, ImageBatch]:
    runtime = Runtime(device=torch.device("cpu"), seed=seed, run_dir=Path())
    return ColoredMNISTDataModule(**options).build(runtime)


def examples(data: Data[ImageDims, ImageBatch], split: str) -> ImageBatch:
    chosen = getattr(data, split)
    assert isinstance(chosen, InMemory)
    return chosen.examples  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]


def test_the_bundled_digits_are_5000_with_500_of_each() -> None:
    digits = bundled_digits()
    assert digits.images.shape == (5000, 28, 28)
    assert np.bincount(digits.digits).tolist() == [500] * 10
    assert digits.images.max() == 255


def test_the_default_has_4000_training_and_1000_validation_images() -> None:
    data = build()
    assert (len(data.train), len(data.val or ()), data.test) == (4000, 1000, None)
    batch = examples(data, "train")
    assert batch.image.shape == (4000, 3, 28, 28)
    assert batch.image.dtype == torch.float32
    assert 0 <= float(batch.image.min()) < float(batch.image.max()) <= 1
    assert data.dims == ImageDims(channels=3, height=28, width=28, num_classes=10, num_groups=100)


def test_the_groups_to_validate_on_are_as_small_as_the_readme_says() -> None:
    sizes = torch.bincount(examples(build(), "val").group, minlength=100)
    assert (int(sizes.min()), int(sizes.max()), int(sizes.sum())) == (3, 18, 1000)


def test_no_image_is_in_two_splits() -> None:
    data = build(test_prop=0.1)
    flat = [examples(data, s).image.amax(dim=1).flatten(1) for s in ("train", "val", "test")]
    assert [len(part) for part in flat] == [3500, 1000, 500]
    shapes = [{(row > 0).numpy().tobytes() for row in part} for part in flat]
    assert not shapes[0] & shapes[1]
    assert not shapes[0] & shapes[2]
    assert not shapes[1] & shapes[2]


@pytest.mark.parametrize(("val_prop", "folds"), [(0.2, 5), (1 / 9, 9), (0.3, 3)])
def test_every_digit_is_validated_on_in_one_fold_at_most(val_prop: float, folds: int) -> None:
    """And is trained on in all others."""
    seen: list[bytes] = []
    for fold in range(folds):
        digits = ColoredMNISTDataModule(val_prop=val_prop, fold=fold)
        parts = digits._split(np.random.default_rng(0))  # pyright: ignore[reportPrivateUsage]  # uncoloured
        train, val = ({image.tobytes() for image in parts[n].images} for n in ("train", "val"))
        assert len(train) + len(val) == 5000
        assert not train & val
        seen += val
    assert len(seen) == len(set(seen)) > 5000 - 5000 * val_prop
    with pytest.raises(OptionError, match=f"`?fold`? must be < {folds} "):
        ColoredMNISTDataModule(val_prop=val_prop, fold=folds)


def test_the_images_do_not_depend_on_the_seed_but_their_order_does() -> None:
    one, other = build(seed=1), build(seed=2)
    assert torch.equal(examples(one, "train").image, examples(other, "train").image)
    assert torch.equal(examples(one, "val").group, examples(other, "val").group)
    first, second = (next(iter(data.train.batches(epoch=0))).label for data in (one, other))
    assert not torch.equal(first, second)


def test_another_split_seed_makes_another_split() -> None:
    assert not torch.equal(
        examples(build(), "val").image, examples(build(split_seed=1), "val").image
    )


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_the_share_of_colours_that_follow_the_class_is_exact(correlation: float) -> None:
    labels = np.arange(10).repeat(1000)
    colors = choose_colors(labels, 10, correlation, np.random.default_rng(0))
    follow = float((colors == labels).mean())
    by_chance = (1 - correlation) / 10
    assert abs(follow - correlation - by_chance) < 0.01


def test_validation_colours_are_independent_of_the_class_unless_asked() -> None:
    def follows(data: Data[ImageDims, ImageBatch], split: str) -> float:
        batch = examples(data, split)
        return float((batch.group % 10 == batch.label).float().mean())

    biased = build(correlation=1.0)
    assert follows(biased, "train") == 1.0
    assert follows(biased, "val") < 0.2
    assert follows(build(test_correlation=1.0), "val") == 1.0


def test_the_group_names_class_and_colour_and_the_image_has_that_colour() -> None:
    batch = examples(build(binarize=True), "train")
    assert torch.equal(batch.group // 10, batch.label)
    brightest = batch.image.amax(dim=(2, 3))
    expected = torch.from_numpy(RGB)[batch.group % 10]
    torch.testing.assert_close(brightest, expected)


@pytest.mark.parametrize(
    ("background", "black", "corner_is", "ink_is"),
    [
        (False, True, "black", "colour"),
        (False, False, "white", "colour"),
        (True, True, "colour", "black"),
        (True, False, "colour", "white"),
    ],
)
def test_background_and_black_choose_what_is_coloured(
    background: bool, black: bool, corner_is: str, ink_is: str
) -> None:
    data = build(background=background, black=black, binarize=True)
    plain = examples(build(binarize=True), "train")
    batch = examples(data, "train")
    meaning = {
        "black": torch.zeros(4000, 3),
        "white": torch.ones(4000, 3),
        "colour": torch.from_numpy(RGB)[batch.group % 10],
    }
    torch.testing.assert_close(batch.image[:, :, 0, 0], meaning[corner_is])
    ink = plain.image.amax(dim=1, keepdim=True) > 0
    mean_ink = (batch.image * ink).sum(dim=(2, 3)) / ink.sum(dim=(2, 3))
    torch.testing.assert_close(mean_ink, meaning[ink_is], atol=1e-5, rtol=0)


def test_scale_spreads_the_colours_about_the_palette() -> None:
    exact, spread = (examples(build(scale=s, binarize=True), "train") for s in (0.0, 0.1))
    deviation = (spread.image.amax(dim=(2, 3)) - exact.image.amax(dim=(2, 3))).std()
    assert 0.03 < float(deviation) < 0.11  # less than 0.1, for colours are clipped to [0, 1]


def test_greyscale_leaves_one_channel() -> None:
    data = build(greyscale=True)
    assert examples(data, "train").image.shape == (4000, 1, 28, 28)
    assert data.dims.channels == 1


@pytest.mark.parametrize(
    ("label_map", "problem"),
    [
        ({3: 0, 8: 0}, r"at least two classes, got \[0\]"),
        ({3: 0, 8: 2}, r"the classes 0, 1, … without a gap, got \[0, 2\]"),
    ],
)
def test_the_classes_of_a_label_map_are_counted_from_zero(
    label_map: dict[int, int], problem: str
) -> None:
    with pytest.raises(OptionError, match=f"label_map must use {problem}"):
        build(label_map=label_map)


def test_a_label_map_merges_digits_and_leaves_others_out() -> None:
    data = build(label_map={3: 0, 8: 1, 5: 0})
    assert data.dims.num_classes == 2
    batch = examples(data, "train")
    assert torch.equal(torch.bincount(batch.label) > 0, torch.tensor([True, True]))
    assert len(batch) + len(data.val or ()) == 1500


def test_colours_can_be_chosen_from_the_palette() -> None:
    batch = examples(build(colors=[7, 2], num_colors=2, binarize=True), "train")
    shown = np.unique(batch.image.amax(dim=(2, 3)).numpy(), axis=0)
    np.testing.assert_allclose(shown, np.unique(RGB[[2, 7]], axis=0))


def test_a_colour_that_is_named_twice_is_refused() -> None:
    with pytest.raises(OptionError, match=r"colors must name each colour once, got \[4, 7, 4\]"):
        build(colors=[4, 7, 4], num_colors=3)
    assert build(colors=[4], num_colors=1).dims.num_groups == 10


def test_the_dims_that_follow_from_the_options_are_those_of_the_data() -> None:
    options: dict[str, Any] = {
        "default_res": 14,
        "greyscale": True,
        "label_map": {1: 0, 2: 1},
        "num_colors": 3,
    }
    data = build(**options)
    assert data.dims == ColoredMNISTDataModule(**options).expected_dims()
    assert examples(data, "train").image.shape[1:] == (1, 14, 14)


def test_missing_mnist_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        build(source="mnist", root=tmp_path / "nothing")
    for part in (
        str(tmp_path / "nothing" / "MNIST" / "raw"),
        "dm.download=true",
        "dm.source=bundled",
    ):
        assert part in str(caught.value)


def test_broken_mnist_is_named(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (raw / f"{part}-{kind}-ubyte").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"a file in .*raw is broken"):
        build(source="mnist", root=tmp_path)


@pytest.mark.parametrize(
    ("res", "size"),
    [(2000, "224 GiB"), (3_000_000_000, "502,914,"), (2**63 - 1, "4,753,6")],
)
def test_images_that_do_not_fit_in_memory_are_refused_before_they_are_made(
    res: int, size: str
) -> None:
    with pytest.raises(UserError, match=rf"default_res={res} makes {size}"):
        ColoredMNISTDataModule(default_res=res)
    few = ColoredMNISTDataModule(default_res=800, label_map={3: 0, 8: 1}, greyscale=True)
    assert few.expected_dims().height == 800  # a tenth of the bytes


def test_a_batch_larger_than_the_training_split_is_refused() -> None:
    train = build(batch_size=5000).train
    with pytest.raises(UserError, match=r"e\.g\. dm\.batch_size=4000\."):
        next(train.batches(0))


def write_idx(path: Path, array: "np.ndarray[Any, np.dtype[np.uint8]]") -> None:
    """The format of the MNIST files: magic number, dimensions (big-endian), bytes."""
    header = [0x0800 + array.ndim, *array.shape]
    path.write_bytes(b"".join(n.to_bytes(4, "big") for n in header) + array.tobytes())


def test_the_full_mnist_is_read_from_torchvisions_layout(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    digits = bundled_digits()
    for name, part in (("train", slice(0, 5000, 5)), ("t10k", slice(1, 5000, 25))):
        write_idx(raw / f"{name}-images-idx3-ubyte", digits.images[part])
        write_idx(raw / f"{name}-labels-idx1-ubyte", digits.digits[part].astype(np.uint8))
    data = build(source="mnist", root=tmp_path)
    assert [len(split or ()) for split in (data.train, data.val, data.test)] == [800, 200, 200]
    test = examples(data, "test")
    assert test.label.tolist() == digits.digits[1::25].tolist()
    ink = torch.from_numpy(digits.images[1::25]) > 0
    assert torch.equal(test.image.amax(dim=1) > 0, ink)
