"""What `training.track` and `training.measure_train` record beside the training loss."""

import csv
from pathlib import Path

import pytest
import torch

from conftest import last_of_each
from runwright import UserError, compose, load
from training.test_loop import SETS

Rows = list[dict[str, str]]


def rows(run_dir: Path) -> Rows:
    with (run_dir / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_norm_of_the_gradients_and_the_speed_are_recorded(tmp_path: Path) -> None:
    track = "training.track=[grad_norm,examples_per_second]"
    compose(last_of_each(*SETS, track, "training.epochs=2", "training.log_every=2")).run(
        tmp_path / "run"
    )
    found = [row for row in rows(tmp_path / "run") if row["train_loss"]]
    assert len(found) >= 4
    assert all(float(row["grad_norm"]) > 0 for row in found)
    assert [bool(row["examples_per_second"]) for row in found] == [False, *[True] * len(found[1:])]
    assert all(float(row["examples_per_second"]) > 0 for row in found[1:])


def test_the_norm_is_that_before_clipping_and_changes_no_training(tmp_path: Path) -> None:
    options = last_of_each(*SETS, "training.epochs=2", "training.log_every=1")
    weights: dict[str, dict[str, torch.Tensor]] = {}
    norms: dict[str, list[float]] = {}
    for name, more in {
        "untracked": [],
        "tracked": ["training.track=[grad_norm]"],
        "clipped": ["training.track=[grad_norm]", "training.clip_grad=0.001"],
    }.items():
        compose([*options, *more]).run(tmp_path / name)
        weights[name] = dict(load(tmp_path / name).model.state_dict())
        norms[name] = [float(row.get("grad_norm") or 0) for row in rows(tmp_path / name)]
    assert all(torch.equal(w, weights["tracked"][n]) for n, w in weights["untracked"].items())
    assert norms["tracked"][0] == pytest.approx(norms["clipped"][0])
    assert norms["tracked"][0] > 0.001


def test_the_training_split_is_measured_as_the_validation_splits_are(tmp_path: Path) -> None:
    """The toy validates on its training data, all of them, so the measures are equal."""
    config = compose([*SETS, "training.measure_train=1.0", "training.epochs=2"])
    config.run(tmp_path / "run")
    (*_, last) = [row for row in rows(tmp_path / "run") if row["val_loss"]]
    assert float(last["trainset_loss"]) == pytest.approx(float(last["val_loss"]), rel=1e-5)
    config = compose([*SETS, "training.measure_train=2", "training.epochs=1"])
    config.run(tmp_path / "few")
    (*_, last) = [row for row in rows(tmp_path / "few") if row["val_loss"]]
    assert float(last["trainset_loss"]) != pytest.approx(float(last["val_loss"]), rel=1e-5)


def test_a_fraction_that_leaves_no_batch_is_refused(tmp_path: Path) -> None:
    config = compose([*SETS, "training.measure_train=0.001"])
    with pytest.raises(UserError, match=r"training\.measure_train=0\.001 leaves none of the 8"):
        config.run(tmp_path)


def test_on_the_cpu_there_is_no_memory_of_a_gpu(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    compose([*SETS, "training.track=[gpu_memory]", "training.max_steps=1"]).run(tmp_path)
    assert "training.track: there is no gpu_memory to record on cpu." in caplog.text
