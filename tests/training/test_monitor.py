"""The monitored measure decides which weights are best, and is known to be measured."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from conftest import last_of_each
from runwright import UserError, compose
from runwright.checks.preflight import directions
from runwright.data import Data, DataModule
from runwright.device.runtime import Runtime
from runwright.factory import factory
from runwright.objective import ObjectiveFactory
from runwright.rundir.tensor_files import read_weights
from toy_domain import SetBatch, SetDims, SquaredDistance, ToySets
from training.test_loop import DIGITS, SETS, column, weights


def test_another_measure_can_be_monitored(tmp_path: Path) -> None:
    options = [*SETS, "training.epochs=3"]
    value = compose([*options, "training.monitor=val_largest"]).run(tmp_path / "run")
    assert value == min(column(tmp_path / "run", "val_largest").values())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("training.monitor=val_largest",), "for val_largest, lower is better"),
        (("training.monitor=train_loss",), "for train_loss, lower is better"),
        ((), "for val_loss, lower is better"),
        (("objective=set_error_without_loss", "training.monitor=val_loss"), "for val_loss, lower"),
    ],
)
def test_keeping_the_worst_weights_is_refused_before_a_directory_is_made(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UserError, match=f"monitor_mode=max would keep the worst weights: {said}"):
        compose(last_of_each(*SETS, *options, "training.monitor_mode=max")).run(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    compose(last_of_each(*SETS, *options, "training.monitor_mode=min", "training.max_steps=1")).run(
        "run"
    )


class WithoutLoss(SquaredDistance):
    """Says nothing of its loss, of which less is always better."""

    monitor, higher_is_better = "largest", {"largest": False}


@factory("set_error_without_loss")
class WithoutLossFactory(ObjectiveFactory[SetDims, SetBatch]):
    """Mean squared error between sets, of which it does not say that less is better."""

    def build(self, dims: SetDims, device: torch.device) -> WithoutLoss:
        return WithoutLoss()


@pytest.mark.parametrize("stage", ["fit", "validate"])
def test_an_unknown_measure_is_refused_before_a_directory_is_made(
    tmp_path: Path, stage: str
) -> None:
    with pytest.raises(UserError, match="Did you mean 'val_largest'"):
        compose([*SETS, "training.monitor=val_largst", f"stage={stage}"]).run(tmp_path / "run")
    assert not (tmp_path / "run").exists()


class WithSmallest(SquaredDistance):
    """Reports a measure without saying which way is better."""

    def losses(self, model: nn.Module, batch: SetBatch) -> dict[str, torch.Tensor]:
        losses = super().losses(model, batch)
        return losses | {"smallest": (model(batch.vectors) - batch.target).square().min()}


@factory("set_error_with_smallest")
class WithSmallestFactory(ObjectiveFactory[SetDims, SetBatch]):
    """Mean squared error between sets, and the smallest."""

    def build(self, dims: SetDims, device: torch.device) -> WithSmallest:
        return WithSmallest()


def test_any_measure_can_be_monitored_when_it_is_said_which_way_is_better(tmp_path: Path) -> None:
    options = [*SETS, "objective=set_error_with_smallest", "training.epochs=3"]
    with pytest.raises(UserError, match=r"say which way is better with training\.monitor_mode="):
        compose([*options, "training.monitor=val_smallest"]).run(tmp_path / "run")
    options += ["training.monitor_mode=max"]
    config = compose([*options, "training.monitor=val_smallest"])
    value = config.run(tmp_path / "run")
    assert value == max(column(tmp_path / "run", "val_smallest").values())
    assert directions(config)[0]["val_smallest"] == "maximize"
    wrong = [*options, "training.monitor=val_smalest"]
    with pytest.raises(UserError, match="Did you mean 'val_smallest'"):
        compose(wrong).run(tmp_path / "wrong")
    with pytest.raises(UserError, match="Did you mean 'smallest'"):
        compose([*wrong, "stage=validate", f"checkpoint.load={tmp_path / 'run'}"]).run("stage")
    with pytest.raises(UserError, match="no validation"):  # measures of a validation begin with it
        compose([*options, "training.monitor=smallest"]).run(tmp_path / "wrong")


@factory("toy_sets_read_first")
class ReadFirst(DataModule[SetDims, SetBatch]):
    """Sets to train on and to test; only reading them tells the Dims."""

    default_objective = "set_error"

    def build(self, runtime: Runtime) -> Data[SetDims, SetBatch]:
        data = ToySets().build(runtime)
        return Data(dims=data.dims, train=data.train, test=data.val)


def test_an_unknown_measure_is_refused_before_it_is_measured(tmp_path: Path) -> None:
    options = last_of_each(*SETS, "dm=toy_sets_read_first", "training.epochs=1")
    run_dir = tmp_path / "run"
    compose(options).run(run_dir)
    with pytest.raises(UserError, match="Did you mean 'val_largest'"):
        compose([*options, "stage=test", "training.monitor=val_largst"]).run(run_dir)
    assert not (run_dir / "test.json").exists()


def test_the_training_loss_decides_beside_validations_that_are_recorded(tmp_path: Path) -> None:
    options = [*DIGITS, "training.epochs=2", "training.log_every=5", "training.val_every=12"]
    options += ["training.monitor=train_loss", "opt.schedule=constant"]
    config = compose(options)
    value = config.run(tmp_path / "run")
    losses = column(tmp_path / "run", "train_loss")
    assert value == min(losses.values())
    assert list(column(tmp_path / "run", "val_loss"))[:2] == [12, 24]
    step = json.loads((tmp_path / "run" / "result.json").read_text())["step"]
    assert losses[step] == value
    compose([*options, f"training.max_steps={step}"]).run(tmp_path / "until")
    best = read_weights(tmp_path / "run" / "checkpoints" / "best.safetensors")
    assert all(torch.equal(best[n], tensor) for n, tensor in weights(tmp_path / "until").items())
    assert directions(config)[0][""] == "minimize"


def test_a_run_that_monitors_the_training_loss_can_be_tested(tmp_path: Path) -> None:
    options = last_of_each(
        *SETS, "dm=toy_sets_read_first", "training.monitor=train_loss", "training.epochs=1"
    )
    run_dir = tmp_path / "run"
    compose(options).run(run_dir)
    value = compose([*options, "stage=test"]).run(run_dir)
    assert value == json.loads((run_dir / "test.json").read_text())["test_loss"]
