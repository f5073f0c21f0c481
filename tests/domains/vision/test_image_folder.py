"""A folder for each class: what is found, what is left out, and what is wrong with it."""

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from domains.vision.files_of_images import Images, build, write_folder
from runwright import UserError
from runwright.domains.vision.class_folders import parts_of
from runwright.domains.vision.mapped import MappedImages


def folder(root: Path, **options: Any) -> Images:
    return build("image_folder", root=root, batch_size=4, **options)


def labels(data: Images, split: str) -> list[int]:
    chosen = getattr(data, split)
    assert isinstance(chosen, MappedImages)
    return chosen.labels.tolist()


def test_splits_are_those_of_the_folders(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", 5)
    write_folder(tmp_path / "val", 2, 5)
    write_folder(tmp_path / "test", 3, 7)
    data = folder(tmp_path)
    assert (len(data.train), len(data.val or ()), len(data.test or ())) == (20, 8, 12)
    assert labels(data, "val") == [0, 0, 1, 1, 2, 2, 3, 3]
    assert data.dims.class_names == ("0", "1", "2", "3")
    assert (data.dims.channels, data.dims.height, data.dims.width) == (3, 28, 28)
    assert data.val is not None
    batch = next(iter(data.val.batches(0)))
    with Image.open(tmp_path / "val" / "0" / "5.png") as image:
        expected = torch.from_numpy(np.array(image)) / 127.5 - 1
    torch.testing.assert_close(batch.image[0], expected.expand(3, -1, -1))


def test_one_folder_is_divided_by_a_seed(tmp_path: Path) -> None:
    write_folder(tmp_path, 10)
    one = folder(tmp_path, val_prop=0.25, test_prop=0.2)
    assert (len(one.train), len(one.val or ()), len(one.test or ())) == (24, 8, 8)
    rows = [getattr(one, name).rows.tolist() for name in ("train", "val", "test")]
    assert sorted(row for part in rows for row in part) == list(range(40))
    again = folder(tmp_path, val_prop=0.25, test_prop=0.2, split_seed=1)
    assert [getattr(again, name).rows.tolist() for name in ("train", "val", "test")] != rows


def test_training_and_validation_images_may_be_divided_anew(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", 4)
    write_folder(tmp_path / "val", 2, 4)
    assert len(folder(tmp_path, val_prop=0.0).train) == 24
    assert len(folder(tmp_path, val_prop=0.5).val or ()) == 12
    with pytest.raises(UserError, match=r"dm\.fold=1: these data have a validation split"):
        folder(tmp_path, fold=1)


def test_images_are_resized_where_asked_and_may_be_grey(tmp_path: Path) -> None:
    write_folder(tmp_path)
    Image.new("RGBA", (100, 60), (255, 0, 0, 128)).save(tmp_path / "0" / "large.png")
    data = folder(tmp_path, default_res=16, greyscale=True)
    assert (data.dims.channels, data.dims.height, data.dims.width) == (1, 16, 16)


def test_images_of_several_sizes_are_refused_with_the_next_step(tmp_path: Path) -> None:
    write_folder(tmp_path)
    Image.new("L", (30, 28)).save(tmp_path / "2" / "wide.png")
    with pytest.raises(UserError) as error:
        folder(tmp_path)
    said = str(error.value)
    assert f"1 of the 17 images in {tmp_path} differ in size:" in said
    assert "2/wide.png: it has 30×28 pixels, not 28×28" in said
    assert "dm.default_res=" in said
    assert "Replace" not in said


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "1" / "9.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"(?s)are broken.*1/9\.png: cannot identify.*Replace or"):
        folder(tmp_path)
    write_folder(tmp_path / "more")
    first = tmp_path / "more" / "0" / "0.png"
    first.write_bytes(first.read_bytes()[:20])
    with pytest.raises(UserError, match=re.escape(f"{first} cannot be read")):
        folder(tmp_path / "more")


def test_hidden_and_other_files_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write_folder(tmp_path)
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / "0" / "._0.png").write_bytes(b"of a Mac")
    (tmp_path / "0" / ".DS_Store").write_bytes(b"of a Mac")
    (tmp_path / "3" / "notes.txt").write_text("of mine")
    assert len(folder(tmp_path, val_prop=0.0).train) == 16
    assert f"Ignored 1 file that is no image: {tmp_path / '3' / 'notes.txt'}." in caplog.messages
    assert len(folder(tmp_path, val_prop=0.0).train) == 16  # its own cache is hidden, too


def test_links_are_followed(tmp_path: Path) -> None:
    write_folder(tmp_path / "elsewhere", 6)
    write_folder(tmp_path / "root", 2, kinds="01")
    (tmp_path / "root" / "2").symlink_to(tmp_path / "elsewhere" / "2")
    (tmp_path / "root" / "1" / "linked.png").symlink_to(tmp_path / "elsewhere" / "1" / "0.png")
    data = folder(tmp_path / "root", val_prop=0.0)
    assert labels(data, "train") == [0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 2]


def test_a_broken_link_and_a_link_in_a_circle_are_told(tmp_path: Path) -> None:
    write_folder(tmp_path)
    broken = tmp_path / "1" / "gone.png"
    broken.symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(UserError, match=re.escape(f"{broken} is a broken link")):
        folder(tmp_path)
    broken.unlink()
    (tmp_path / "1" / "again").symlink_to(tmp_path / "1")
    with pytest.raises(UserError, match="again is a link to a folder that it is in"):
        folder(tmp_path)


def test_folders_within_a_class_may_be_groups(tmp_path: Path) -> None:
    write_folder(tmp_path / "bird" / "land", 3, kinds="0")
    write_folder(tmp_path / "bird" / "water", 2, kinds="1")
    write_folder(tmp_path / "boat" / "water", 4, kinds="2")
    for kind in ("bird/land/0", "bird/water/1", "boat/water/2"):
        for image in (tmp_path / kind).iterdir():
            image.rename(image.parent.parent / image.name)
        (tmp_path / kind).rmdir()
    data = folder(tmp_path, val_prop=0.0, groups="folder")
    assert data.dims.group_names == ("bird, land", "bird, water", "boat, water")
    assert isinstance(data.train, MappedImages)
    assert data.train.groups.tolist() == [0] * 3 + [1] * 2 + [2] * 4
    assert folder(tmp_path, groups="class").dims.group_names == ("bird", "boat")
    write_folder(tmp_path, 1, kinds="5")
    with pytest.raises(UserError, match=r"5/0\.png is in no folder within its class"):
        folder(tmp_path, groups="folder")


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "7").mkdir()
    with pytest.raises(UserError, match=rf"no images in {re.escape(str(tmp_path / '7'))}\. Delete"):
        folder(tmp_path)


def test_classes_that_differ_between_the_splits_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_folder(tmp_path / "train", kinds="012")
    write_folder(tmp_path / "val", kinds="01")
    assert len(folder(tmp_path).train) == 12
    assert f"{tmp_path / 'val'} has no images of 2." in caplog.messages
    (tmp_path / "val" / "1").rename(tmp_path / "val" / "11")
    with pytest.raises(UserError, match=r"val has the class '11', which .*train does not have"):
        folder(tmp_path)


def test_layouts_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*none\. It must have a folder for"):
        parts_of(tmp_path / "none")
    with pytest.raises(UserError, match="has no folders"):
        parts_of(tmp_path)
    write_folder(tmp_path / "train")
    write_folder(tmp_path / "valid")
    with pytest.raises(UserError, match=r"train, which is a split, and valid.*Did you mean 'val'"):
        folder(tmp_path)
    (tmp_path / "valid").rename(tmp_path / "val")
    (tmp_path / "train").rename(tmp_path / "test")
    with pytest.raises(UserError, match="but no train/"):
        folder(tmp_path)
    write_folder(tmp_path / "one", kinds="3")
    with pytest.raises(UserError, match="has only one class, '3'"):
        folder(tmp_path / "one")


def test_a_share_to_test_beside_a_folder_to_test_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "train")
    write_folder(tmp_path / "test")
    with pytest.raises(UserError, match=r"dm\.test_prop=0\.2 must be 0"):
        folder(tmp_path, test_prop=0.2)


def test_images_that_are_added_are_seen(tmp_path: Path) -> None:
    write_folder(tmp_path)
    assert len(folder(tmp_path, val_prop=0.0).train) == 16
    write_folder(tmp_path, 1, 4)
    assert len(folder(tmp_path, val_prop=0.0).train) == 20
