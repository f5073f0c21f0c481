"""Models that are fitted by statistics of the training data, without gradients."""

import csv
import os
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from conftest import last_of_each
from programs import run_python
from runwright import ConfigError, FittedModel, ModelFactory, UserError, compose, factory, load
from runwright.data.batching import InMemory
from runwright.rundir.tensor_files import read_tensors
from toy_domain import SetBatch, SetDims

FITTED = ["dm=toy_sets", "model=mean_target", "gpu=-1", "pictures=false", "training.epochs=1"]
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


class MeanTarget(nn.Module, FittedModel):
    """Predicts the mean target of each place in a set."""

    total: Tensor
    count: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(5, features))
        self.register_buffer("count", torch.zeros(()))

    def observe(self, batch: SetBatch) -> None:
        assert not torch.is_grad_enabled()
        self.total += batch.target.sum(0)
        self.count += len(batch)

    def forward(self, vectors: Tensor) -> Tensor:
        return (self.total / self.count.clamp(min=1)).expand_as(vectors)


class WithWeights(MeanTarget):
    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.weight = nn.Parameter(torch.zeros(features))


@factory("mean_target")
class MeanTargetFactory(ModelFactory[SetDims]):
    """The mean target."""

    def build(self, dims: SetDims) -> nn.Module:
        return MeanTarget(dims.features)


@factory("mean_target_with_weights")
class WithWeightsFactory(ModelFactory[SetDims]):
    """The mean target, and weights that nothing trains."""

    def build(self, dims: SetDims) -> nn.Module:
        return WithWeights(dims.features)


def test_an_epoch_fits_it_to_all_examples(tmp_path: Path) -> None:
    value = compose([*FITTED, "training.log_every=4"]).run(tmp_path / "run")
    run = load(tmp_path / "run")
    targets = torch.cat([batch.target for batch in run.data.train.batches(0)])
    assert torch.allclose(run.model.total / run.model.count, targets.mean(0), atol=1e-6)  # pyright: ignore[reportArgumentType, reportOperatorIssue]  # buffers
    val = next(run.data.val.batches(0)).target  # pyright: ignore[reportOptionalMemberAccess]  # it has one
    assert value == pytest.approx((val - targets.mean(0)).square().mean().item(), rel=1e-4)
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("step", "epoch", "train_loss", "train_largest", "val_loss", "val_largest")
    ]  # without a learning rate
    assert [row["step"] for row in rows] == ["4", "8"]


def test_an_epoch_has_every_example_once_also_those_that_do_not_fill_a_batch() -> None:
    vectors = torch.arange(26.0).reshape(26, 1, 1)
    examples = SetBatch(vectors=vectors, target=vectors)
    split = InMemory(examples, batch_size=6, shuffle_seed=0)
    once = split.each_once()
    assert torch.equal(torch.cat([batch.vectors for batch in once.batches(0)]), vectors)
    assert (once.num_batches, split.num_batches) == (5, 4)


@pytest.mark.slow
def test_it_is_killed_and_resumes_to_the_byte(tmp_path: Path) -> None:
    program = (
        "import training.test_fitting; from training.resume import kill_points; kill_points.main()"
    )
    arguments = last_of_each(*FITTED, "checkpoint.save_every=1", "training.epochs=5")
    run_python("-c", program, tmp_path / "runs", "1", "2", *arguments, env=ENVIRONMENT, check=True)
    files = sorted((tmp_path / "runs").glob("*/checkpoints/last.safetensors"))
    assert len(files) >= 2
    weights = [read_tensors(path)[0] for path in files]
    assert all(torch.equal(one[name], weights[0][name]) for one in weights for name in one)


def test_it_has_nothing_to_train(tmp_path: Path) -> None:
    chosen = last_of_each(*FITTED, "model=mean_target_with_weights")
    with pytest.raises(UserError, match="WithWeights is a FittedModel, which has no gradients, bu"):
        compose(chosen).run(tmp_path / "run")


def test_what_would_do_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises((UserError, ConfigError), match=r"training.ema_decay must be null: MeanTar"):
        compose([*FITTED, "training.ema_decay=0.9"]).run(tmp_path / "run")
