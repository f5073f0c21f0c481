"""Augmentation in a run: exact when it is killed, wherever the images are, and not in measures."""

from pathlib import Path

import numpy as np
import pytest

from domains.vision.files_of_images import build, write_folder
from domains.vision.one_label import OneLabelFactory
from programs import run_python
from runwright import ConfigError, compose
from runwright.data.batching import Batched
from runwright.domains.vision.batch import MixedImages
from runwright.domains.vision.standard_augmentation import StandardAugmentation
from training.resume.conftest import DIE_AT_STEP_30, assert_equal_runs


def options(root: Path) -> list[str]:
    """A run of 44 steps with everything that is drawn."""
    return [
        *("gpu=-1", "dm=image_folder", f"dm.root={root}", "dm.batch_size=16", "model=cnn"),
        *("dm/augment=standard", "dm.augment.crop=2", "dm.augment.rand_augment=2"),
        *("dm.augment.cutout=6", "dm.augment.mixup=0.4", "opt.lr=0.002", "training.epochs=4"),
        *("training.log_every=7", "training.val_every=0.5", "pictures=false"),
        "checkpoint.save_every=10",
    ]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("digits")
    write_folder(root, 50)
    return root


@pytest.fixture(scope="module")
def unbroken(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("unbroken") / "run"
    compose(options(root)).run(run_dir)
    return run_dir


def test_a_run_that_is_killed_ends_with_the_same_bytes(
    root: Path, unbroken: Path, tmp_path: Path
) -> None:
    arguments = [str(tmp_path / "broken"), *options(root)]
    done = run_python("-c", DIE_AT_STEP_30, *arguments)
    assert done.returncode == -9, done.stderr
    compose(options(root)).run(tmp_path / "broken")
    assert_equal_runs(unbroken, tmp_path / "broken")


@pytest.mark.parametrize("where", ["dm.on_device=true", "dm.num_workers=2"])
def test_wherever_the_images_are_the_bytes_are_the_same(
    root: Path, unbroken: Path, tmp_path: Path, where: str
) -> None:
    compose([*options(root), where]).run(tmp_path / "elsewhere")
    assert_equal_runs(unbroken, tmp_path / "elsewhere")


def test_another_seed_draws_others(root: Path) -> None:
    augment = StandardAugmentation(crop=0, flip="none", mixup=0.4)

    def partners(seed: int) -> dict[int, int]:
        data = build("image_folder", seed=seed, root=root, augment=augment, batch_size=16)
        found: dict[int, int] = {}
        assert isinstance(data.train, Batched)
        order = data.train.order(0)
        for number, batch in enumerate(data.train.batches(0)):
            assert isinstance(batch, MixedImages)
            rows = order[16 * number :][:16].tolist()
            found |= dict(zip(rows, batch.share.tolist(), strict=True))
        return found

    one, other = partners(1), partners(2)
    both = one.keys() & other.keys()
    assert np.mean([one[row] == other[row] for row in both]) < 0.1


def test_training_images_are_measured_as_they_are(root: Path) -> None:
    augment = StandardAugmentation(mixup=0.4)
    data = build("image_folder", root=root, augment=augment, batch_size=16)
    plain = build("image_folder", root=root, batch_size=16)
    for ours, theirs in zip(
        data.train.as_measured().batches(0), plain.train.batches(0), strict=True
    ):
        assert not isinstance(ours, MixedImages)
        assert np.array_equal(ours.image.numpy(), theirs.image.numpy())


def test_the_training_split_is_measured_without_augmentation(root: Path, tmp_path: Path) -> None:
    run = ("training.max_steps=1", "training.measure_train=1.0")
    chosen = [one for one in options(root) if not one.startswith(("training.", "opt."))]
    compose([*chosen, *run, "opt.lr=1e-12"]).run(tmp_path / "augmented")
    plain = [one for one in chosen if "augment" not in one]
    compose([*plain, *run, "opt.lr=1e-12"]).run(tmp_path / "plain")
    rows = [
        dict(zip(*(line.split(",") for line in text.splitlines()[:2]), strict=True))
        for text in (
            (tmp_path / name / "metrics.csv").read_text() for name in ("augmented", "plain")
        )
    ]
    assert rows[0]["trainset_loss"] == rows[1]["trainset_loss"]
    assert rows[0]["trainset_accuracy"] == rows[1]["trainset_accuracy"]
    assert rows[0]["train_loss"] != rows[1]["train_loss"]


def test_an_objective_that_takes_one_label_is_refused(root: Path) -> None:
    chosen = [*options(root), f"objective={OneLabelFactory.config_choice}"]
    with pytest.raises(ConfigError, match=r"dm\.augment blends images, which then have two labels"):
        compose(chosen)
    compose([one for one in chosen if "mixup" not in one])
