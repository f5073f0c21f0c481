"""A finished run can be loaded to work with."""

from pathlib import Path
from typing import Any

import pytest
import torch

import runwright
from runwright import UserError, compose
from runwright.rundir.tensor_files import read_weights
from runwright.training.evaluation import evaluate
from training.test_loop import SETS, column


def test_a_run_is_loaded_as_it_was(tmp_path: Path) -> None:
    config = compose([*SETS, "training.epochs=3", "training.monitor=val_largest"])
    value = config.run(tmp_path / "run")
    run = runwright.load(tmp_path / "run")
    assert run.config == config
    best = read_weights(tmp_path / "run" / "checkpoints" / "best.safetensors")
    assert all(torch.equal(best[name], t) for name, t in run.model.state_dict().items())
    assert not run.model.training
    with pytest.raises(UserError, match=r"takes a list of overrides, not one string"):
        runwright.load(tmp_path / "run", "gpu=-1")
    assert run.data.val is not None
    assert evaluate(run.model, run.objective, run.data.val).compute()["largest"] == value
    steps, losses = run.metrics.curve("val_loss")
    assert dict(zip(steps, losses, strict=True)) == column(tmp_path / "run", "val_loss")
    assert repr(run) == (
        f"The run in {tmp_path / 'run'}\n"
        "  dm=toy_sets model=set_encoder objective=set_error\n"
        f"  Best val_largest: {value:.4f}, at step 24 of 24.\n"
        "  24 rows of metrics: step, epoch, lr, train_loss, train_largest, val_loss, val_largest"
    )


def test_what_is_no_run_directory_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run directory: it has no config.yaml"):
        runwright.load(tmp_path)


def test_what_is_no_path_is_said_to_be_none() -> None:
    wrong: Any = 3
    said = "takes the path of a folder, as text or a Path, got 3."
    config = runwright.compose(["dm=toy_sets", "model=set_encoder"])
    for call, name in (
        (lambda: config.run(wrong), "run"),
        (lambda: runwright.load(wrong), "load"),
        (lambda: runwright.compose(conf=wrong), "compose"),
    ):
        with pytest.raises(UserError) as caught:
            call()
        assert str(caught.value) == f"{name} {said}"
    with pytest.raises(UserError) as caught:
        runwright.run(wrong)
    assert str(caught.value) == "run takes a configuration, such as compose([…]) makes, got 3."
