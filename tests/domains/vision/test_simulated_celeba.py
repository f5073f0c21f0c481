"""The stand-in for CelebA: what is drawn, and what it never overwrites."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from runwright import UserError, compose
from runwright.__main__ import main
from runwright.domains.vision.cartoon import HAIR, draw_face
from runwright.domains.vision.celeba_attributes import CelebAttr
from runwright.domains.vision.celeba_layout import read_attributes, read_partition
from runwright.domains.vision.simulated_celeba import DRAWN, draw_attributes, simulate_celeba


def files(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def faces(count: int, correlation: float = 0.86) -> list[frozenset[CelebAttr]]:
    return [draw_attributes(np.random.default_rng([5, i]), correlation) for i in range(count)]


def test_the_same_options_draw_the_same_files_and_fewer_images_are_the_first_ones(
    tmp_path: Path,
) -> None:
    for name, num_images in (("one", 9), ("again", 9), ("fewer", 5)):
        simulate_celeba(tmp_path / name, num_images=num_images, seed=0, correlation=0.86)
    assert files(tmp_path / "one") == files(tmp_path / "again")
    images = {n: data for n, data in files(tmp_path / "fewer").items() if n.endswith(".jpg")}
    assert len(images) == 5
    assert images.items() <= files(tmp_path / "one").items()


def test_another_seed_draws_other_faces(tmp_path: Path) -> None:
    for seed in (0, 1):
        simulate_celeba(tmp_path / str(seed), num_images=1, seed=seed, correlation=0.86)
    assert files(tmp_path / "0")["000001.jpg"] != files(tmp_path / "1")["000001.jpg"]


@pytest.mark.parametrize(
    ("correlation", "of_men", "of_women"), [(0.86, 0.02, 0.24), (0, 0.148, 0.148), (1, 0, 0.254)]
)
def test_blond_hair_goes_with_sex_as_strongly_as_was_asked(
    correlation: float, of_men: float, of_women: float
) -> None:
    blond: dict[bool, list[bool]] = {True: [], False: []}
    for has in faces(4000, correlation):
        blond[CelebAttr.MALE in has].append(CelebAttr.BLOND_HAIR in has)
    assert np.mean(blond[True]) == pytest.approx(of_men, abs=0.02)
    assert np.mean(blond[False]) == pytest.approx(of_women, abs=0.02)


def test_what_is_drawn_is_about_as_frequent_as_in_celeba_and_consistent() -> None:
    drawn = faces(4000)
    # Shares in CelebA's list_attr_celeba.txt.
    for attribute, share in {
        CelebAttr.MALE: 0.42,
        CelebAttr.SMILING: 0.48,
        CelebAttr.YOUNG: 0.77,
        CelebAttr.BLACK_HAIR: 0.24,
        CelebAttr.WEARING_LIPSTICK: 0.47,
        CelebAttr.NO_BEARD: 0.83,
        CelebAttr.EYEGLASSES: 0.065,
        CelebAttr.WEARING_HAT: 0.05,
    }.items():
        assert np.mean([attribute in has for has in drawn]) == pytest.approx(share, abs=0.05)
    assert frozenset[CelebAttr]().union(*drawn) == set(DRAWN)
    assert max(len(has & HAIR.keys()) for has in drawn) == 1


@pytest.mark.parametrize("attribute", DRAWN, ids=lambda attribute: attribute.name)
def test_each_attribute_is_seen_in_the_picture(attribute: CelebAttr) -> None:
    def picture(has: set[CelebAttr], face: int) -> NDArray[np.float64]:
        image = draw_face(frozenset(has), np.random.default_rng([7, face]))
        return np.asarray(image, dtype=np.float64)

    base = {CelebAttr.YOUNG, CelebAttr.NO_BEARD} - {attribute}
    changed = [
        int((abs(picture(base, i) - picture(base | {attribute}, i)) > 30).sum()) for i in range(4)
    ]
    assert np.median(changed) > 60


@pytest.mark.slow
@pytest.mark.parametrize("superclass", ["SMILING", "BLOND"])
def test_a_small_cnn_learns_who_smiles_and_who_is_blond(superclass: str, tmp_path: Path) -> None:
    simulate_celeba(tmp_path, num_images=800, seed=0, correlation=0.0)
    data = [f"dm.root={tmp_path}", "dm.default_res=32", "dm.batch_size=16"]
    training = ["model=cnn", "opt.lr=3e-3", "training.epochs=25", "gpu=-1", "pictures=false"]
    often = 0.85 if superclass == "BLOND" else 0.52  # what guessing the more frequent class has
    config = compose(["dm=celeba", f"dm.superclass={superclass}", *data, *training])
    accuracy = config.run(tmp_path / "run")
    assert accuracy > often + (1 - often) / 2


def test_every_part_has_its_share_of_every_hair_and_sex(tmp_path: Path) -> None:
    simulate_celeba(tmp_path, num_images=60, seed=0, correlation=0.0)
    names, values = read_attributes(tmp_path / "celeba", [CelebAttr.MALE, CelebAttr.BLOND_HAIR])
    parts = read_partition(tmp_path / "celeba", names)
    for group in np.unique(values, axis=0):
        share = np.bincount(parts[(values == group).all(axis=1)], minlength=3)
        assert share[0] >= share[1] >= share[2] >= share[0] // 3


def test_the_command_draws_and_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "new" / "data"
    command = ["simulate", "celeba", "--root", str(root), "--num-images", "3"]
    assert main(command) == 0
    assert f"dm.root={root}" in capsys.readouterr().out
    folder = root / "celeba"
    assert "not CelebA" in (folder / "SIMULATED.txt").read_text()
    with Image.open(folder / "img_align_celeba" / "000003.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (178, 218))
    # Nothing else is left, and the same command has nothing to do.
    assert [path.name for path in root.iterdir()] == ["celeba"]
    before = folder.stat().st_mtime_ns
    assert main(command) == 0
    assert folder.stat().st_mtime_ns == before


def test_other_options_do_not_overwrite_what_was_simulated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["simulate", "celeba", "--root", str(tmp_path), "--num-images", "2"]
    assert main(command) == 0
    before = files(tmp_path)
    assert main([*command, "--seed", "1"]) == 2
    assert "simulated with other options" in capsys.readouterr().err
    assert files(tmp_path) == before


@pytest.mark.parametrize("content", ["img_align_celeba/000001.jpg", "img_align_celeba.zip"])
def test_real_data_are_never_overwritten(tmp_path: Path, content: str) -> None:
    real = tmp_path / "celeba" / content
    real.parent.mkdir(parents=True)
    real.write_bytes(b"real")
    with pytest.raises(UserError, match=r"is not empty: it holds .*Nothing was written"):
        simulate_celeba(tmp_path, num_images=1, seed=0, correlation=0.5)
    assert files(tmp_path) == {real.name: b"real"}


def test_a_root_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written to .*file"):
        simulate_celeba(tmp_path / "file", num_images=1, seed=0, correlation=0.5)


def test_the_root_may_be_below_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert main(["simulate", "celeba", "--root=~/data", "--num-images", "2"]) == 0
    assert (tmp_path / "home" / "data" / "celeba").is_dir()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--num-images", "0"], "must be ≥ 1, got 0"),
        (["--correlation", "1.5"], "must be ≥ 0, ≤ 1, got 1.5"),
        (["--seed", "-1"], "must be ≥ 0, got -1"),
    ],
)
def test_bounds_of_the_options(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "celeba", *arguments])
    assert ended.value.code == 2
    assert text in capsys.readouterr().err
