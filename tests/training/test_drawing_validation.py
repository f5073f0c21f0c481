"""A validation that draws at random changes no training, and draws the same again."""

from pathlib import Path

import pytest
import torch

from conftest import last_of_each
from runwright import compose
from torchrun import finish, start_copies
from training import drawing_model, own_measures
from training.test_loop import column, rows, weights

OPTIONS = (
    *(f"dm={own_measures.SmallBatches.config_choice}", "dm.val_batch=10", "gpu=-1"),
    *(f"model={drawing_model.UncertainFactory.config_choice}", "objective=sampled_error"),
    *("pictures=false", "training.max_steps=20", "training.log_every=1"),
    *("training.epochs=null", "opt.lr=0.01", "opt.schedule=constant"),
)


def test_how_often_one_validates_changes_no_training(tmp_path: Path) -> None:
    for every in (2, 20):
        compose([*OPTIONS, f"training.val_every={every}"]).run(tmp_path / str(every))
    losses = [column(tmp_path / every, "train_loss") for every in ("2", "20")]
    assert losses[0] == losses[1]
    ends = [weights(tmp_path / every) for every in ("2", "20")]
    assert all(torch.equal(one, ends[1][name]) for name, one in ends[0].items())


def test_a_validation_is_repeated_to_the_digit(tmp_path: Path) -> None:
    value = compose([*OPTIONS, "training.val_every=5"]).run(tmp_path / "run")
    measure = ("stage=validate", f"checkpoint.load={tmp_path / 'run'}")
    assert compose(measure).run(tmp_path / "plain") == value
    resampled = (*measure, "stage.num_bootstrap_runs=5")  # the table is drawn between the batches
    assert compose(resampled).run(tmp_path / "resampled") == value
    assert compose([*measure, "seed=1"]).run(tmp_path / "seed") != value
    # What is drawn for a batch depends on nothing but the seed and its number.
    still = last_of_each(*OPTIONS, "opt.lr=1e-12", "training.val_every=5")
    compose(still).run(tmp_path / "still")
    assert len(set(column(tmp_path / "still", "val_loss").values())) == 1


def test_pictures_change_no_training(tmp_path: Path) -> None:
    cmnist = ("dm=cmnist", "model=fcn", "gpu=-1", "model.dropout_prob=0.2", "model.hidden_dim=9")
    short = (*cmnist, "training.max_steps=3", "training.log_every=1", "training.val_every=3")
    for pictures in ("true", "false"):
        compose([*short, f"pictures={pictures}"]).run(tmp_path / pictures)
    assert rows(tmp_path / "true") == rows(tmp_path / "false")


@pytest.mark.parametrize("moment", [-1, 60])
def test_a_long_validation_after_the_last_step_is_said_once(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    moment: float,
) -> None:
    monkeypatch.setattr("runwright.trained._MOMENT", moment)
    cmnist = ("dm=cmnist", "model=fcn", "gpu=-1", "model.hidden_dim=9", "training.max_steps=3")
    compose(cmnist).run(tmp_path / "run")
    said = "Validating the best weights once more, to draw it; pictures=false does not."
    assert capsys.readouterr().out.count(said) == (moment < 0)


@pytest.mark.slow
def test_two_processes_draw_for_a_batch_what_one_does(tmp_path: Path) -> None:
    script = Path(drawing_model.__file__)
    options = last_of_each(*OPTIONS, "opt.lr=1e-12", "training.val_every=10")
    finish(start_copies("hydra.run.dir=two", options=options, script=script))
    compose(options).run("one")
    one, two = (column(Path(name), "val_loss") for name in ("one", "two"))
    assert one == pytest.approx(two, rel=1e-6)
