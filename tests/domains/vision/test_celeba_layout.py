"""CelebA's own files: what is read from them, and what is said about broken ones."""

from collections.abc import Callable
from pathlib import Path

import pytest

from domains.vision.faces import NUM_IMAGES, build, edit, images_folder
from runwright import UserError
from runwright.domains.vision.celeba_attributes import CelebAttr
from runwright.domains.vision.celeba_layout import (
    HOMEPAGE,
    read_attributes,
    read_partition,
)


def test_read_functions_agree_with_each_other(root: Path) -> None:
    names, values = read_attributes(root / "celeba", [CelebAttr.MALE])
    assert values.shape == (NUM_IMAGES, 1)
    assert len(read_partition(root / "celeba", names)) == NUM_IMAGES
    assert sorted(path.name for path in images_folder(root).iterdir()) == names


ATTRIBUTES_BROKEN: dict[str, Callable[[list[str]], list[str]]] = {
    "announces 150 images and lists 98": lambda lines: lines[:100],
    "should begin with the number of images": lambda lines: lines[1:],
    "should begin with the number": lambda _: [""],
    "names 39 attributes and lacks Smiling": lambda lines: [
        lines[0],
        lines[1].replace("Smiling ", ""),
        *lines[2:],
    ],
    "line 152 should be the name of another": lambda lines: [*lines[:-1], lines[-1][:-3]],
    "line 152 should be the name of": lambda lines: [*lines[:-1], lines[-2]],
    "line 4 has": lambda lines: [*lines[:3], lines[3].replace(" 1", " 7"), *lines[4:]],
}


@pytest.mark.parametrize("text", list(ATTRIBUTES_BROKEN))
def test_a_broken_attribute_file_is_explained(real: Path, text: str) -> None:
    path = real / "celeba" / "list_attr_celeba.txt"
    edit(path, ATTRIBUTES_BROKEN[text])
    with pytest.raises(UserError) as error:
        build(real, superclass=CelebAttr.NO_BEARD)
    assert text in str(error.value)
    assert str(path) in str(error.value)
    assert HOMEPAGE in str(error.value)


PARTITION_BROKEN: dict[str, Callable[[list[str]], list[str]]] = {
    "lists 149 images and .* 150; 1 are in one of them only": lambda lines: lines[:-1],
    "line 150 should be the name of an image": lambda lines: [*lines[:-1], "000150.jpg 3"],
}


@pytest.mark.parametrize("text", list(PARTITION_BROKEN))
def test_a_broken_partition_is_explained(root: Path, text: str) -> None:
    edit(root / "celeba" / "list_eval_partition.txt", PARTITION_BROKEN[text])
    with pytest.raises(UserError, match=text):
        build(root)


def test_a_file_that_is_no_text_is_explained(root: Path) -> None:
    (root / "celeba" / "list_attr_celeba.txt").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UserError, match=r"list_attr_celeba.txt cannot be read"):
        build(root)
