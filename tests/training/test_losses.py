"""Losses have the same names in every step and process, and what is NaN joins no mean."""

import math
from pathlib import Path

import pytest

from conftest import last_of_each
from runwright import RunError, UserError, compose
from torchrun import finish, measures, start_copies
from training import odd_losses
from training.test_loop import SETS, rows

ODD = last_of_each(*SETS, f"objective={odd_losses.OddLosses.config_choice}", "training.epochs=2")
SCRIPT = Path(odd_losses.__file__)


def test_nan_means_nothing_to_measure_and_joins_no_mean(tmp_path: Path) -> None:
    compose(last_of_each(*ODD, "training.log_every=8")).run(tmp_path)
    first, second = rows(tmp_path)
    assert float(first["train_seldom"]) == (1 + 5) / 2
    assert float(second["train_seldom"]) == (9 + 13) / 2
    assert "train_never" not in first
    assert (first["val_seldom"], second["val_seldom"]) == ("1.0", "")
    assert "val_never" not in first


def test_nan_of_a_loss_survives_a_checkpoint_between_two_records(tmp_path: Path) -> None:
    options = last_of_each(*ODD, "training.log_every=8", "checkpoint.save_every=3")
    compose(options).run(tmp_path / "whole")
    compose([*options, "training.max_steps=6"]).run(tmp_path / "broken")
    compose([*options, "checkpoint.allow_changes=true"]).run(tmp_path / "broken")
    whole, broken = rows(tmp_path / "whole")[-1], rows(tmp_path / "broken")[-1]
    # The objective counts its batches anew when it goes on, so only that there is one is the same.
    assert broken["train_seldom"]
    assert broken.keys() == whole.keys()


def test_a_loss_that_is_nan_still_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="The training loss is nan at step 3"):
        compose([*ODD, "objective.what=nan"]).run(tmp_path)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (
            "later",
            "in step 3 are `loss`, `largest`, `more`; in the first step they were `loss`, `lar",
        ),
        ("nameless", "The objective's losses are `largest`. One must be called `loss`"),
        ("without_names", "losses are a Tensor. They must be a dictionary of tensors by name"),
        ("a_number", "loss `largest` is float. It must be a tensor of a single number"),
        ("a_vector", r"loss `largest` is of shape \(3,\). It must be a tensor of a single number"),
    ],
)
def test_losses_that_are_not_as_they_must_be_are_refused(
    tmp_path: Path, what: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        compose([*ODD, f"objective.what={what}"]).run(tmp_path)


TWO = last_of_each(
    *("dm=toy_sets", *ODD, "training.log_every=4", "opt.schedule=constant", "opt.lr=0.01"),
    "training.epochs=1",
)


def two(*arguments: str, status: int = 0) -> str:
    return finish(start_copies(*arguments, options=TWO, script=SCRIPT), status=status)


@pytest.mark.slow
def test_processes_take_the_mean_of_what_was_measured_in_some_of_them() -> None:
    two("hydra.run.dir=sparse")
    first, second = measures("sparse")
    # Of four batches the first process measures the first, the second process the fourth.
    assert first["train_seldom"] == (1 + 4) / 2
    assert second["train_seldom"] == (5 + 8) / 2
    assert not any("never" in name for name in second)


@pytest.mark.slow
def test_the_order_of_the_losses_may_differ_between_processes() -> None:
    two("objective.what=in_another_order", "hydra.run.dir=run")
    assert {row["train_rank"] for row in measures("run")} == {0.5}
    assert all(row["train_loss"] < row["train_largest"] for row in measures("run"))


@pytest.mark.slow
def test_losses_that_differ_between_processes_are_refused_and_nothing_hangs() -> None:
    said = two("objective.what=by_rank", status=1)
    assert "The losses of the first batch are `loss` in process 1 and `loss`, `largest` in " in said
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize("every", [0, 5])
def test_parameters_without_a_gradient_are_named_with_the_option(every: int) -> None:
    options = ("model=two_heads", f"model.every={every}", "objective=set_error")
    said = two(*options, status=1)
    assert "got no gradient in a step: spare.weight, spare.bias. With several" in said
    assert "training.find_unused_parameters=true" in said
    assert "Traceback" not in said
    two(*options, "training.find_unused_parameters=true", "hydra.run.dir=run")
    assert not math.isnan(measures("run")[-1]["train_loss"])
