"""Pictures of single validations, and what TensorBoard and W&B get of a run."""

from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from conftest import SMALL, last_of_each
from runwright import ConfigError, compose
from runwright.figures import is_own_figure

DIGITS = last_of_each("dm=cmnist", *SMALL, "pictures=true", "training.max_steps=6")


def test_validations_are_drawn_as_often_as_asked(tmp_path: Path) -> None:
    options = [*DIGITS, "training.val_every=2", "draw_every=2", "tensorboard=true"]
    compose(options).run(tmp_path)
    pictures = tmp_path / "pictures"
    assert sorted(one.name for one in pictures.glob("step-*")) == ["step-00000004"]
    (drawn,) = (pictures / "step-00000004").iterdir()
    assert is_own_figure(drawn)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    tags: Any = events.Tags()
    assert tags["images"] == [drawn.stem]
    assert [image.step for image in events.Images(drawn.stem)] == [4]


def test_tensorboard_has_the_options_with_the_result(tmp_path: Path) -> None:
    best = compose(last_of_each(*DIGITS, "tensorboard=true", "pictures=false")).run(tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    (value,) = [scalar.value for scalar in events.Scalars("best")]
    assert value == pytest.approx(best)
    tags: Any = events.Tags()
    assert "_hparams_/session_start_info" in events.summary_metadata
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"opt.lr" in content
    assert b"cmnist" in content
    assert "val_accuracy" in tags["scalars"]


def test_pictures_of_validations_go_with_the_run_that_is_overwritten(tmp_path: Path) -> None:
    options = [*DIGITS, "training.val_every=2", "draw_every=1"]
    compose(options).run(tmp_path / "run")
    (tmp_path / "run" / "pictures" / "step-00000004" / "mine.txt").touch()
    compose(last_of_each(*options, "seed=7", "overwrite=true", "training.max_steps=2")).run(
        tmp_path / "run"
    )
    left = sorted(str(one.relative_to(tmp_path / "run")) for one in tmp_path.rglob("step-*/*"))
    assert [one for one in left if not one.endswith(".png")] == ["pictures/step-00000004/mine.txt"]
    assert {one.split("/")[1] for one in left if one.endswith(".png")} == {"step-00000002"}


def test_what_is_not_drawn_is_not_drawn_often() -> None:
    with pytest.raises(ConfigError, match="draw_every has no effect with pictures=false"):
        compose(last_of_each(*DIGITS, "pictures=false", "draw_every=2"))
