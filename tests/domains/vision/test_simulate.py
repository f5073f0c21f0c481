"""The stand-in for CelebA: what is drawn, in which layout, and what it never overwrites."""

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torchvision.datasets import CelebA
from typing_extensions import override

from runwright import UserError
from runwright.__main__ import main
from runwright.domains.vision.cartoon.attributes import (
    REAL_CORRELATION,
    blond_shares,
    draw_attributes,
)
from runwright.domains.vision.cartoon.portrait import draw_portrait
from runwright.domains.vision.celeba_attributes import CelebAttr
from runwright.domains.vision.celeba_layout import read_attributes, read_partition
from runwright.domains.vision.simulate import partition, simulate_celeba

NUM_IMAGES = 70


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `root` with 70 simulated faces."""
    root = tmp_path_factory.mktemp("simulated")
    simulate_celeba(root, num_images=NUM_IMAGES, seed=0, correlation=REAL_CORRELATION)
    return root


class UncheckedCelebA(CelebA):
    """torchvision's reader, without the MD5 sums of the real files."""

    @override
    def _check_integrity(self) -> bool:
        return True


def pictures(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_torchvision_reads_the_same_attributes_and_partition(drawn: Path) -> None:
    everything: Any = UncheckedCelebA(
        str(drawn), split="all", target_type=["attr", "identity", "bbox", "landmarks"]
    )
    names, values = read_attributes(drawn / "celeba", list(CelebAttr))
    assert everything.attr_names[:40] == [attribute.value for attribute in CelebAttr]
    assert everything.filename == names
    assert np.array_equal(everything.attr.numpy() == 1, values)
    parts = read_partition(drawn / "celeba", names)
    for part, split in enumerate(("train", "valid", "test")):
        assert len(UncheckedCelebA(str(drawn), split=split)) == np.sum(parts == part) > 0
    image, (attr, identity, box, landmarks) = everything[0]
    image.load()
    assert image.size == (178, 218)
    assert attr.shape == (40,)
    assert identity == 1
    left, top, width, height = box.tolist()
    points = landmarks.reshape(5, 2).numpy()
    assert (points >= [left, top]).all()
    assert (points <= [left + width, top + height]).all()


def test_the_eyes_are_where_celeba_has_them(drawn: Path) -> None:
    faces: Any = UncheckedCelebA(str(drawn), split="all", target_type="landmarks")
    eyes = faces.landmarks_align.numpy()[:, :4]
    assert np.allclose(eyes.mean(axis=0), [69.5, 111.5, 108, 112], atol=2)
    assert eyes.std(axis=0).max() < 5


def test_the_same_options_draw_the_same_files(drawn: Path, tmp_path: Path) -> None:
    simulate_celeba(tmp_path, num_images=NUM_IMAGES, seed=0, correlation=REAL_CORRELATION)
    assert pictures(tmp_path) == pictures(drawn)


def test_fewer_images_are_the_first_ones(drawn: Path, tmp_path: Path) -> None:
    simulate_celeba(tmp_path, num_images=5, seed=0, correlation=REAL_CORRELATION)
    of_all = pictures(drawn)
    jpegs = {name: data for name, data in pictures(tmp_path).items() if name.endswith(".jpg")}
    assert len(jpegs) == 5
    assert all(of_all[name] == data for name, data in jpegs.items())


def test_another_seed_draws_other_faces(drawn: Path, tmp_path: Path) -> None:
    simulate_celeba(tmp_path, num_images=1, seed=1, correlation=REAL_CORRELATION)
    assert pictures(tmp_path)["000001.jpg"] != pictures(drawn)["000001.jpg"]


def test_blond_hair_goes_with_sex_as_strongly_as_was_asked() -> None:
    def shares(correlation: float) -> tuple[float, float]:
        faces = [draw_attributes(np.random.default_rng([5, i]), correlation) for i in range(4000)]
        blond = {
            male: [CelebAttr.BLOND_HAIR in has for has in faces if (CelebAttr.MALE in has) == male]
            for male in (True, False)
        }
        return float(np.mean(blond[True])), float(np.mean(blond[False]))

    assert shares(REAL_CORRELATION) == pytest.approx((0.02, 0.24), abs=0.02)
    assert shares(0.0) == pytest.approx((0.148, 0.148), abs=0.02)
    assert shares(1.0) == pytest.approx((0.0, 0.254), abs=0.02)
    assert blond_shares(REAL_CORRELATION) == pytest.approx((0.021, 0.239), abs=0.001)


def test_attributes_are_as_frequent_and_as_consistent_as_in_celeba() -> None:
    faces = [draw_attributes(np.random.default_rng([6, i]), 0.86) for i in range(4000)]
    count = Counter(attribute for has in faces for attribute in has)
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
        assert count[attribute] / len(faces) == pytest.approx(share, abs=0.05), attribute
    assert set(count) == set(CelebAttr)
    colors = {CelebAttr.BLACK_HAIR, CelebAttr.BLOND_HAIR, CelebAttr.BROWN_HAIR, CelebAttr.GRAY_HAIR}
    beards = {CelebAttr.GOATEE, CelebAttr.MUSTACHE, CelebAttr.FIVE_O_CLOCK_SHADOW}
    for has in faces:
        assert len(has & colors) <= 1
        assert not (has & beards and CelebAttr.NO_BEARD in has)


def test_every_part_has_its_share_of_every_hair_and_sex() -> None:
    faces = [draw_attributes(np.random.default_rng([0, i]), 0.86) for i in range(2000)]
    parts = partition(faces)
    blond_men = [
        part
        for part, has in zip(parts, faces, strict=True)
        if {CelebAttr.MALE, CelebAttr.BLOND_HAIR} <= has
    ]
    assert {0, 1, 2} == set(blond_men)
    assert np.bincount(parts) / len(parts) == pytest.approx([0.6, 0.2, 0.2], abs=0.01)


@pytest.mark.parametrize(
    "attribute", list(CelebAttr), ids=[attribute.name for attribute in CelebAttr]
)
def test_each_attribute_is_seen_in_the_picture(attribute: CelebAttr) -> None:
    beards = {CelebAttr.GOATEE, CelebAttr.MUSTACHE, CelebAttr.SIDEBURNS}
    base = {CelebAttr.FIVE_O_CLOCK_SHADOW} if attribute in beards else {CelebAttr.NO_BEARD}
    base |= {CelebAttr.YOUNG}
    if attribute is CelebAttr.FIVE_O_CLOCK_SHADOW:
        base -= {CelebAttr.NO_BEARD}

    def picture(has: set[CelebAttr], face: int) -> NDArray[np.float64]:
        image = draw_portrait(frozenset(has), np.random.default_rng([7, face])).image
        return np.asarray(image, dtype=np.float64)

    changed = [
        int((abs(picture(base - {attribute}, i) - picture(base | {attribute}, i)) > 20).sum())
        for i in range(4)
    ]
    if attribute is CelebAttr.ATTRACTIVE:  # it has no feature of its own
        assert max(changed) == 0
    else:
        assert np.median(changed) > 60


def separable(
    attribute: CelebAttr, base: Sequence[CelebAttr], box: tuple[int, int, int, int]
) -> float:
    """The accuracy of a linear classifier of the pixels in `box`, on faces it has not seen."""
    pixels: list[NDArray[np.float64]] = []
    labels: list[int] = []
    for item in range(240):
        rng = np.random.default_rng([8, item])
        has = set(draw_attributes(rng, 0.0)) - set(base) - {attribute}
        has |= {attribute} if item % 2 else set()
        crop = draw_portrait(frozenset(has), rng).image.crop(box).resize((14, 8))
        pixels.append(np.asarray(crop, dtype=np.float64).ravel() / 255)
        labels.append(1 if item % 2 else -1)
    x, y = np.stack(pixels), np.array(labels)
    x = np.concatenate([x - x.mean(axis=1, keepdims=True), x.mean(axis=1, keepdims=True)], axis=1)
    train, test = slice(0, 160), slice(160, None)
    gram = x[train].T @ x[train] + 1.0 * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x[train].T @ y[train])
    right = (x[test] @ weights > 0) == (y[test] > 0)
    return float(np.asarray(right, dtype=np.float64).mean())


def test_a_linear_classifier_tells_who_smiles() -> None:
    assert separable(CelebAttr.SMILING, [], (58, 136, 120, 174)) > 0.8


def test_a_linear_classifier_tells_who_is_blond() -> None:
    others = [
        CelebAttr.BALD,
        CelebAttr.WEARING_HAT,
        CelebAttr.BLACK_HAIR,
        CelebAttr.BROWN_HAIR,
        CelebAttr.GRAY_HAIR,
    ]
    assert separable(CelebAttr.BLOND_HAIR, others, (50, 52, 128, 90)) > 0.7


def test_the_command_draws_and_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "new" / "data"
    command = ["simulate", "celeba", "--root", str(root), "--num-images", "3"]
    assert main(command) == 0
    assert f"dm.root={root}" in capsys.readouterr().out
    folder = root / "celeba"
    assert "not CelebA" in (folder / "SIMULATED.txt").read_text()
    assert sorted(path.name for path in (folder / "img_align_celeba").iterdir()) == [
        "000001.jpg",
        "000002.jpg",
        "000003.jpg",
    ]
    with Image.open(folder / "img_align_celeba" / "000001.jpg") as image:
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
    before = pictures(tmp_path)
    assert main([*command, "--seed", "1"]) == 2
    assert "simulated with other options" in capsys.readouterr().err
    assert pictures(tmp_path) == before


@pytest.mark.parametrize(
    "content", ["img_align_celeba/000001.jpg", "list_attr_celeba.txt", "img_align_celeba.zip"]
)
def test_real_data_are_never_overwritten(tmp_path: Path, content: str) -> None:
    real = tmp_path / "celeba" / content
    real.parent.mkdir(parents=True)
    real.write_bytes(b"real")
    with pytest.raises(UserError, match=r"is not empty: it holds .*Nothing was written"):
        simulate_celeba(tmp_path, num_images=1, seed=0, correlation=0.5)
    assert pictures(tmp_path) == {real.name: b"real"}


def test_the_root_may_be_below_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert main(["simulate", "celeba", "--root=~/data", "--num-images", "2"]) == 0
    assert (tmp_path / "home" / "data" / "celeba").is_dir()


def test_a_root_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written to .*file"):
        simulate_celeba(tmp_path / "file", num_images=1, seed=0, correlation=0.5)


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


def test_an_unknown_command_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["simulat"]) == 2
    assert "Did you mean 'simulate'?" in capsys.readouterr().err


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("check", "schema", "simulate"))
    assert main([]) == 2


@pytest.mark.parametrize(
    "module",
    [
        "runwright.__main__",
        "runwright.domains.vision.choices",
        "runwright.tools.simulate",
        "runwright.domains.vision.simulate",
        "runwright.domains.vision.decoding",
        "runwright.domains.vision.image_cache",
    ],
)
def test_nothing_here_imports_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
