"""CelebA on simulated images: labels, groups, splits, what is missing, and a whole run."""

import filecmp
import logging
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import Run
from domains.vision.faces import NUM_IMAGES, RES, Faces, build, edit, images_folder, mapped
from runwright import UserError, compose
from runwright.__main__ import main
from runwright.domains.vision.augmentation import NoAugmentation
from runwright.domains.vision.celeba import CelebADataModule
from runwright.domains.vision.celeba_attributes import CelebAttr
from runwright.domains.vision.celeba_layout import ATTRIBUTES, HOMEPAGE, IMAGES, PARTITION
from runwright.domains.vision.decoding import pixels_of
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.mapped import MappedImages
from runwright.domains.vision.simulated_celeba import simulate_celeba
from runwright.factory import OptionError


def all_parts(data: Faces) -> dict[str, MappedImages]:
    return {name: mapped(getattr(data, name)) for name in ("train", "val", "test")}


@pytest.mark.parametrize(
    ("superclass", "subclass"),
    [
        (CelebAttr.SMILING, CelebAttr.MALE),
        (CelebAttr.BLOND, CelebAttr.MALE),
        (CelebAttr.EYEGLASSES, CelebAttr.YOUNG),
    ],
)
def test_labels_and_groups_are_what_the_attribute_file_says(
    root: Path, superclass: CelebAttr, subclass: CelebAttr
) -> None:
    lines = (root / "celeba" / "list_attr_celeba.txt").read_text().splitlines()
    columns = lines[1].split()
    said = {
        line.split()[0]: tuple(
            int(line.split()[1 + columns.index(attribute.value)]) == 1
            for attribute in (superclass, subclass)
        )
        for line in lines[2:]
    }
    part_of = dict(
        line.split() for line in (root / "celeba/list_eval_partition.txt").read_text().splitlines()
    )
    data = build(root, superclass=superclass, subclass=subclass)
    assert data.dims == ImageDims(channels=3, height=RES, width=RES, num_classes=2, num_groups=4)
    for part, split in enumerate(all_parts(data).values()):
        names = [name for name in said if part_of[name] == str(part)]
        expected = [said[name] for name in names]
        batch = split.gather(torch.arange(len(split)))
        assert batch.label.tolist() == [int(label) for label, _ in expected]
        assert batch.group.tolist() == [2 * label + group for label, group in expected]
        for image, name in zip(batch.image, names, strict=True):
            assert np.array_equal(
                image.numpy(), pixels_of(Image.open(images_folder(root) / name), (3, RES, RES))
            )


def test_the_random_split_has_the_official_sizes_and_follows_its_seed(root: Path) -> None:
    official = {name: part.rows.tolist() for name, part in all_parts(build(root)).items()}
    one, again, other = (
        {name: part.rows.tolist() for name, part in all_parts(build(root, split_seed=s)).items()}
        for s in (0, 0, 1)
    )
    assert one == again
    assert one not in (official, other)
    for split in (official, one, other):
        assert [len(rows) for rows in split.values()] == [len(r) for r in official.values()]
        assert sorted(row for rows in split.values() for row in rows) == list(range(NUM_IMAGES))


@pytest.mark.parametrize("option", ["superclass", "subclass"])
def test_an_attribute_that_no_image_has_is_refused(root: Path, option: str) -> None:
    chosen: dict[str, Any] = {option: CelebAttr.WEARING_NECKTIE}
    with pytest.raises(UserError) as error:
        build(root, **chosen)
    assert f"dm.{option}=WEARING_NECKTIE divides nothing: none of the images" in str(error.value)
    marker = (root / "celeba" / "SIMULATED.txt").read_text()
    assert "SIMULATED.txt next to them says in which attributes they differ" in str(error.value)
    assert "Eyeglasses" in marker
    assert "Wearing_Necktie" not in marker
    (root / "celeba" / "SIMULATED.txt").unlink()
    with pytest.raises(UserError, match=r"list_attr_celeba.txt has it. Choose another attribute"):
        build(root, **chosen)


def test_parts_without_images_are_left_out(root: Path) -> None:
    edit(
        root / "celeba" / "list_eval_partition.txt",
        lambda lines: [f"{line.split()[0]} 0" for line in lines],
    )
    data = build(root)
    assert len(data.train) == NUM_IMAGES
    assert data.val is None
    assert data.test is None


def test_alias_and_names_on_the_command_line(repository: Path) -> None:
    config = compose(
        ["dm=celeba", "dm.superclass=BLOND", "dm.subclass=MALE"], conf=repository / "conf"
    )
    assert isinstance(config.dm, CelebADataModule)
    assert config.dm.superclass is CelebAttr.BLOND_HAIR
    assert len(CelebAttr) == 40


def test_superclass_and_subclass_must_differ() -> None:
    with pytest.raises(OptionError, match="superclass and subclass must differ, both are BLOND"):
        build(Path(), superclass=CelebAttr.BLOND, subclass=CelebAttr.BLOND_HAIR)


@pytest.mark.parametrize(
    ("choice", "superclass", "res"),
    [
        ("celeba_male_smiling", CelebAttr.SMILING, 224),
        ("celeba_male_blond", CelebAttr.BLOND_HAIR, 224),
        ("celeba_male_smiling_small", CelebAttr.SMILING, 64),
    ],
)
def test_stored_configurations(
    repository: Path, choice: str, superclass: CelebAttr, res: int
) -> None:
    config = compose([f"dm={choice}"], conf=repository / "conf")
    assert config.dm == CelebADataModule(
        superclass=superclass,
        subclass=CelebAttr.MALE,
        default_res=res,
        augment=NoAugmentation(),
    )


def test_simulated_images_are_announced(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    build(root)
    assert "are simulated: cartoon faces, not CelebA" in caplog.text
    caplog.clear()
    (root / "celeba" / "SIMULATED.txt").unlink()
    build(root)
    assert "simulated" not in caplog.text


def test_missing_data_are_told_before_a_run_directory_is_made(
    run_main: Run, tmp_path: Path
) -> None:
    done = run_main("dm=celeba", f"dm.root={tmp_path / 'nowhere'}", "hydra.run.dir=run")
    assert done.returncode == 2
    assert done.stderr.startswith(f"dm=celeba looked in {tmp_path / 'nowhere' / 'celeba'}:")
    assert not (tmp_path / "run").exists()


def test_missing_data_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        build(tmp_path / "nowhere")
    text = str(error.value)
    assert str((tmp_path / "nowhere" / "celeba").resolve()) in text
    for expected in (
        "missing list_attr_celeba.txt",
        "missing list_eval_partition.txt",
        "missing img_align_celeba/",
        "202,599 images",
        HOMEPAGE,
        "dm.download=true",
        f"python -m runwright simulate celeba --root {tmp_path / 'nowhere'}",
    ):
        assert expected in text


def test_an_archive_that_was_not_unpacked_is_noticed(root: Path) -> None:
    shutil.rmtree(images_folder(root))
    archive = root / "celeba" / "img_align_celeba.zip"
    archive.touch()
    with pytest.raises(UserError) as error:
        build(root)
    assert "found   list_attr_celeba.txt" in str(error.value)
    assert f"unzip {archive} -d {root / 'celeba'}" in str(error.value)


def test_a_download_that_fails_names_the_page(tmp_path: Path) -> None:
    try:
        import gdown  # noqa: F401  # pyright: ignore[reportMissingImports,reportUnusedImport]
    except ModuleNotFoundError:
        pass
    else:
        pytest.skip("with gdown this would download 1.4 GB")
    with pytest.raises(UserError, match=r"dm.download=true: CelebA could not be fetched") as error:
        build(tmp_path, download=True)
    assert "gdown" in str(error.value)
    assert HOMEPAGE in str(error.value)
    # Nothing is left that would keep the user from simulating instead.
    simulate_celeba(tmp_path, num_images=3, seed=0, correlation=0.5)


def test_download_leaves_alone_what_is_there(root: Path) -> None:
    assert len(build(root, download=True).train) > 0


def test_missing_images_are_named(root: Path) -> None:
    (images_folder(root) / "000007.jpg").unlink()
    with pytest.raises(UserError, match=r"1 of the 150 images .* not in .*: 000007.jpg"):
        build(root)


def test_images_that_are_not_listed_are_named(real: Path) -> None:
    shutil.copy(images_folder(real) / "000001.jpg", images_folder(real) / "000999.jpg")
    with pytest.raises(UserError, match=r"are not listed in .*000999.jpg.*releases"):
        build(real)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a missing image": lambda folder: (folder / IMAGES / "000007.jpg").unlink(),
    "a broken image": lambda folder: (folder / IMAGES / "000007.jpg").write_bytes(b"no picture"),
    "an image too many": lambda folder: (folder / IMAGES / "new.jpg").touch(),
    "no images": lambda folder: shutil.rmtree(folder / IMAGES),
    "no partition": lambda folder: (folder / PARTITION).unlink(),
    "a short list": lambda folder: edit(folder / ATTRIBUTES, lambda lines: lines[:9]),
    "another list": lambda folder: edit(folder / PARTITION, lambda lines: lines[1:]),
}


def advice_on_damage(broken: Path, damage: str) -> str:
    """What is said of simulated images after this was done to them."""
    DAMAGES[damage](broken)
    with pytest.raises(UserError) as error:
        build(broken.parent)
    return str(error.value)


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_damaged_simulated_images_are_to_be_drawn_again(root: Path, damage: str) -> None:
    broken = shutil.copytree(root, root.parent / "my faces") / "celeba"
    text = advice_on_damage(broken, damage)
    assert HOMEPAGE not in text
    assert "202,599" not in text
    assert f"delete {broken} and draw them again with" in text
    assert "python -m runwright simulate celeba" in text


def test_the_advice_on_damaged_simulated_images_draws_them_again(root: Path) -> None:
    broken = shutil.copytree(root, root.parent / "my faces") / "celeba"
    text = advice_on_damage(broken, "a broken image")
    shutil.rmtree(broken)
    command = shlex.split(text.splitlines()[-1])
    assert command[:5] == ["python", "-m", "runwright", "simulate", "celeba"]
    assert main(command[3:]) == 0
    assert filecmp.dircmp(broken, root / "celeba").diff_files == []
    assert len(build(broken.parent).train) == len(build(root).train)


def test_examples_are_drawn(faces: Faces, tmp_path: Path) -> None:
    assert faces.draw_examples is not None
    path = tmp_path / "pictures" / "examples.png"
    faces.draw_examples(path)
    with Image.open(path) as image:
        assert min(image.size) > 100


def test_a_run_from_jpeg_to_worst_group_accuracy(
    repository: Path, root: Path, tmp_path: Path
) -> None:
    config = compose(
        [
            "+experiment=good_run",
            f"dm.root={root}",
            "dm.default_res=16",
            "dm.batch_size=30",
            "training.epochs=2",
            "gpu=-1",
        ],
        conf=repository / "conf",
    )
    value = config.run(tmp_path / "run")
    assert 0.3 < value <= 1
    header = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0]
    assert "val_worst_group_accuracy" in header
    assert (tmp_path / "run" / "pictures" / "training_examples.png").exists()
