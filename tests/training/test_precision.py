"""In lower precision, what is clipped, validated and saved is what it says it is."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from conftest import last_of_each
from runwright import compose
from runwright.factory import factory
from runwright.objective import ObjectiveFactory
from runwright.rundir.tensor_files import read_tensors
from toy_domain import SetBatch, SetDims, SquaredDistance
from training.test_loop import SETS, column, weights

CONSTANT = [*SETS, "opt.optimizer_cls=SGD", "opt.lr=1", "opt.schedule=constant"]


class WithAutocast(SquaredDistance):
    """Reports whether the forward pass runs in lower precision."""

    def losses(self, model: nn.Module, batch: SetBatch) -> dict[str, torch.Tensor]:
        is_on = torch.tensor(float(torch.is_autocast_enabled("cpu")))
        return super().losses(model, batch) | {"autocast": is_on}


@factory("set_error_with_autocast")
class WithAutocastFactory(ObjectiveFactory[SetDims, SetBatch]):
    """Mean squared error between sets, and whether it is computed in lower precision."""

    def build(self, dims: SetDims, device: torch.device) -> WithAutocast:
        return WithAutocast()


@pytest.mark.parametrize(("precision", "expected"), [("bf16", 1), ("fp32", 0)])
def test_training_and_validation_run_in_the_precision_that_was_chosen(
    tmp_path: Path, precision: str, expected: int
) -> None:
    options = [*SETS, "objective=set_error_with_autocast", f"training.precision={precision}"]
    compose([*options, "training.max_steps=1"]).run(tmp_path / "run")
    assert column(tmp_path / "run", "train_autocast") == {1: expected}
    assert column(tmp_path / "run", "val_autocast") == {1: expected}


def test_gradients_that_were_scaled_are_clipped_at_their_true_length(tmp_path: Path) -> None:
    options = [*CONSTANT, "training.max_steps=1", "training.precision=fp16"]
    compose([*options, "training.clip_grad=1e-3"]).run(tmp_path / "clipped")
    compose(last_of_each(*options, "opt.lr=1e-12")).run(tmp_path / "still")
    before, after = weights(tmp_path / "still"), weights(tmp_path / "clipped")
    moved = torch.cat([(after[name] - before[name]).flatten() for name in after])
    assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-2)


def scaler(run_dir: Path) -> dict[str, Any]:
    return read_tensors(run_dir / "checkpoints" / "last.state.safetensors")[1]["scaler"]


def test_a_resumed_run_goes_on_with_the_scale_of_the_gradients(tmp_path: Path) -> None:
    options = last_of_each(*CONSTANT, "training.precision=fp16", "opt.lr=0.01")
    for steps in (2, 5):
        more = [f"training.max_steps={steps}", "checkpoint.allow_changes=true"]
        compose([*options, *more]).run(tmp_path / "resumed")
    compose([*options, "training.max_steps=5"]).run(tmp_path / "unbroken")
    assert scaler(tmp_path / "resumed") == scaler(tmp_path / "unbroken")
