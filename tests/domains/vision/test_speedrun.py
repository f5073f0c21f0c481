"""The fast recipe for CIFAR-10, in a size for a CPU: that its parts work together."""

import json
from pathlib import Path

import numpy as np
import pytest

from domains.vision.cifar10_images import cifar10_images
from domains.vision.files_of_images import colored, some_digits, write_as_cifar10
from runwright import compose
from runwright.config import Config

RECIPE = ("+experiment=cifar10/speedrun", "gpu=-1", "dm.batch_size=128", "opt.lr=0.5")
SMALL = (*RECIPE, "training.precision=fp32", "model.widths=[16,32,64]")


def accuracy_on_the_test_images(run: Path, config: Config) -> float:
    config.run(run)
    return json.loads((run / "test.json").read_text())["test_accuracy"]


def test_the_recipe_is_nothing_but_options() -> None:
    config = compose(["+experiment=cifar10/speedrun"])
    assert (config.training.max_steps, config.training.monitor) == (475, "last")
    assert config.then == ["test"]
    assert type(config.model).__name__ == "WhitenedCNNFactory"


@pytest.mark.slow
def test_it_tells_coloured_digits_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, held_out = some_digits(300), some_digits(200, 300)
    parts = ((colored(some), some.digits) for some in (train, held_out))
    write_as_cifar10(tmp_path / "data", monkeypatch, *parts)
    options = [*SMALL, f"dm.root={tmp_path / 'data'}", "dm.augment.flip=none"]
    options += ["training.max_steps=80", "objective.test_time_augmentation=none"]
    assert accuracy_on_the_test_images(tmp_path / "run", compose(options)) > 0.9


@pytest.mark.slow
def test_on_real_images_it_is_far_better_than_a_linear_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In 300 steps on a fifth of the training images; a linear model has about 0.4 there."""
    train, (images, labels) = cifar10_images()
    write_as_cifar10(tmp_path / "data", monkeypatch, train, (images[:3000], labels[:3000]))
    root = f"dm.root={tmp_path / 'data'}"
    options = [*SMALL, root, "training.max_steps=300"]
    accuracy = accuracy_on_the_test_images(tmp_path / "run", compose(options))
    linear = [one for one in options if not one.startswith(("model.", "opt."))]
    linear += ["model=fcn", "model.num_hidden=0", "opt.lr=0.02", "opt.lr_scale={}"]
    baseline = accuracy_on_the_test_images(tmp_path / "linear", compose(linear))
    assert np.isclose(baseline, 0.4, atol=0.07)
    assert accuracy > max(0.55, baseline + 0.15)
