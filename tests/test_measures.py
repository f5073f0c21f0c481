"""Measures of one forward pass a batch, of a whole split, and of several processes."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from typing_extensions import override

from conftest import last_of_each
from runwright import InMemory, Measure, OutputObjective, UserError, World, compose
from runwright.training.evaluation import evaluate
from torchrun import finish, measures, start_copies
from toy_domain import SetBatch
from training import own_measures
from training.own_measures import Correlated
from training.test_loop import SETS, column

OWN = last_of_each(*SETS, f"objective={own_measures.CorrelatedFactory.config_choice}")


def sets(count: int) -> SetBatch:
    vectors = torch.randn(count, 5, 3, generator=torch.Generator().manual_seed(2))
    return SetBatch(vectors=vectors, target=vectors.square() + vectors)


class Counting(nn.Module):
    """Counts its forward passes."""

    calls = 0

    @override
    def forward(self, vectors: Tensor) -> Tensor:
        self.calls += 1
        return 2 * vectors


def test_losses_and_all_measures_share_one_forward_pass() -> None:
    model, split = Counting(), InMemory(sets(50), batch_size=8, shuffle_seed=None)
    values = evaluate(model, Correlated(), split).compute()
    assert model.calls == split.num_batches == 7
    assert list(values) == ["loss", "pearson", "mean_pearson"]
    model.calls = 0
    losses = Correlated().losses(model, split.examples)
    assert (model.calls, losses["loss"].item()) == (1, pytest.approx(values["loss"]))


def test_a_measure_of_the_whole_split_is_no_mean_over_batches() -> None:
    examples = sets(50)
    expected = torch.corrcoef(
        torch.stack([2 * examples.vectors.flatten(), examples.target.flatten()])
    )[0, 1].item()
    for batch_size in (7, 50):
        split = InMemory(examples, batch_size=batch_size, shuffle_seed=None)
        values = evaluate(Counting(), Correlated(), split).compute()
        assert values["pearson"] == pytest.approx(expected, rel=1e-6)
        assert (values["mean_pearson"] == pytest.approx(expected, rel=1e-6)) == (batch_size == 50)


def test_it_is_in_the_metrics_and_can_be_monitored(tmp_path: Path) -> None:
    options = ["training.epochs=2", "training.monitor=val_pearson"]
    value = compose([*OWN, *options]).run(tmp_path)
    assert value == max(column(tmp_path, "val_pearson").values())


@pytest.mark.slow
@pytest.mark.parametrize("batches", [3, 1])  # of which the second process has two, or the only one
def test_several_processes_have_the_digits_of_one(tmp_path: Path, batches: int) -> None:
    options = (
        *(*OWN, "dm=toy_sets_in_small_batches", "opt.lr=1e-12", "training.epochs=1"),
        f"training.limit_val_batches={batches}",
    )
    options = last_of_each(*options)
    finish(start_copies("hydra.run.dir=two", options=options, script=Path(own_measures.__file__)))
    one = compose(options).run(tmp_path / "one")
    assert one == measures("two")[-1]["val_loss"]
    for name in ("val_pearson", "val_loss"):
        assert measures("two")[-1][name] == column(tmp_path / "one", name)[8], name


class Sum(Measure[SetBatch, Tensor]):
    """Says nothing of several processes."""

    @override
    def update(self, outputs: Tensor, batch: SetBatch) -> None: ...

    @override
    def compute(self) -> dict[str, float]:
        return {}


def test_a_measure_that_does_not_say_how_it_is_put_together_is_refused() -> None:
    with pytest.raises(UserError, match="Sum does not define all_reduce.* 2 processes together"):
        Sum().all_reduce(World(size=2))


def test_an_objective_in_two_steps_has_the_means_of_its_losses_by_default() -> None:
    class Plain(OutputObjective[SetBatch, Tensor]):
        monitor, higher_is_better = "loss", {"loss": False}

        @override
        def outputs(self, model: nn.Module, batch: SetBatch) -> Tensor:
            return model(batch.vectors)

        @override
        def losses_of(self, outputs: Tensor, batch: SetBatch) -> dict[str, Tensor]:
            return {"loss": (outputs - batch.target).abs().mean()}

    examples = sets(9)
    split = InMemory(examples, batch_size=4, shuffle_seed=None)
    values = evaluate(Counting(), Plain(), split).compute()
    expected = (2 * examples.vectors - examples.target).abs().mean()
    assert values == {"loss": pytest.approx(expected.item())}
