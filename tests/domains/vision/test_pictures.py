"""Pictures name classes and groups, so that nobody has to know their numbers."""

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch

from runwright.domains.vision.augmentation import NoAugmentation
from runwright.domains.vision.batch import ImageBatch
from runwright.domains.vision.celeba_attributes import CelebAttr
from runwright.domains.vision.choices import CelebADataModule, ColoredMNISTDataModule
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.pictures import draw_confusion_matrix, draw_image_grid


def texts(picture: Path) -> list[str]:
    """What is written in an SVG picture, line by line."""
    return re.findall(r"<text[^>]*>([^<]+)</text>", picture.read_text())


def grid(dims: ImageDims, label: int, group: int, folder: Path) -> str:
    """What stands below an image."""
    batch = ImageBatch(
        image=torch.zeros(1, dims.channels, dims.height, dims.width),
        label=torch.tensor([label]),
        group=torch.tensor([group]),
    )
    with mpl.rc_context({"svg.fonttype": "none"}):
        draw_image_grid(batch, dims, folder / "grid.svg")
    return " ".join(texts(folder / "grid.svg"))


def plain_dims(num_groups: int) -> ImageDims:
    return ImageDims(channels=1, height=8, width=8, num_classes=2, num_groups=num_groups)


def test_faces_are_titled_with_the_names_of_the_attributes(tmp_path: Path) -> None:
    dims = CelebADataModule(default_res=8, augment=NoAugmentation()).expected_dims()
    said = [grid(dims, group // 2, group, tmp_path) for group in range(4)]
    assert said == ["not smiling, female", "not smiling, male", "smiling, female", "smiling, male"]
    blond = CelebADataModule(
        superclass=CelebAttr.BLOND, subclass=CelebAttr.EYEGLASSES, augment=NoAugmentation()
    )
    dims = blond.expected_dims()
    assert [dims.class_name(number) for number in (0, 1)] == ["not blond hair", "blond hair"]
    assert dims.group_name(0) == "not blond hair, no eyeglasses"


def test_every_attribute_has_two_names() -> None:
    names = {attribute: attribute.names for attribute in CelebAttr}
    assert len({name for pair in names.values() for name in pair}) == 80
    assert names[CelebAttr.NO_BEARD] == ("beard", "no beard")
    assert names[CelebAttr.FIVE_O_CLOCK_SHADOW][1] == "5 o'clock shadow"
    assert names[CelebAttr.WEARING_HAT][0] == "not wearing hat"
    assert names[CelebAttr.BANGS][0] == "no bangs"


def test_digits_are_titled_with_digit_and_colour(tmp_path: Path) -> None:
    dims = ColoredMNISTDataModule().expected_dims()
    assert dims.class_names == tuple("0123456789")
    assert grid(dims, 7, 70, tmp_path) == "7, red"
    assert grid(dims, 7, 79, tmp_path) == "7, brown"


def test_mapped_digits_are_titled_with_the_class_and_a_chosen_colour(tmp_path: Path) -> None:
    dims = ColoredMNISTDataModule(
        label_map={3: 0, 8: 1, 5: 0}, num_colors=2, colors=[7, 2]
    ).expected_dims()
    assert dims.class_names == ("class 0", "class 1")
    assert grid(dims, 1, 3, tmp_path) == "class 1, blue"
    assert grid(dims, 0, 0, tmp_path) == "class 0, magenta"


@pytest.mark.parametrize(("num_groups", "title"), [(1, "class 1"), (3, "class 1, group 0")])
def test_what_has_no_name_is_titled_with_its_number(
    tmp_path: Path, num_groups: int, title: str
) -> None:
    assert grid(plain_dims(num_groups), 1, 0, tmp_path) == title


def test_the_axes_of_the_confusion_matrix_have_the_names_of_the_classes(tmp_path: Path) -> None:
    with mpl.rc_context({"svg.fonttype": "none"}):
        draw_confusion_matrix(
            np.eye(2, dtype=np.int64), ("not smiling", "smiling"), "a title", tmp_path / "c.svg"
        )
    said = texts(tmp_path / "c.svg")
    assert said.count("not smiling") == said.count("smiling") == 2
    assert "a title" in said
    assert "share of the true class" in said  # what the colours say


def test_a_confusion_matrix_of_a_hundred_classes_fits_a_page(tmp_path: Path) -> None:
    draw_confusion_matrix(np.eye(100, dtype=np.int64), list("x" * 100), "", tmp_path / "a.svg")
    said = (tmp_path / "a.svg").read_text()
    assert float(re.findall(r'width="(\d+)', said)[0]) < 700  # points; 72 are an inch
    assert "predicted class, by its number" in said


def test_there_is_one_name_a_class_and_a_group() -> None:
    with pytest.raises(ValueError, match="1 names for 2 classes: cat"):
        ImageDims(channels=1, height=1, width=1, num_classes=2, class_names=("cat",))
    with pytest.raises(ValueError, match="2 names for 1 groups: a, b"):
        ImageDims(channels=1, height=1, width=1, num_classes=2, group_names=("a", "b"))
    assert plain_dims(1) == ImageDims(
        channels=1, height=8, width=8, num_classes=2, class_names=("cat", "dog")
    )
