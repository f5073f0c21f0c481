"""Further validation splits are measured beside the first, by names of their own."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import last_of_each
from runwright import Caller, Data, InMemory, Runtime, UserError, compose, factory, run
from runwright.checks.preflight import directions
from runwright.rundir.learning_curves import draw_learning_curves, learning_curves
from runwright.rundir.result import read_result
from toy_domain import SetBatch, SetDims, ToySets
from training.test_loop import SETS, column, rows


@factory("toy_sets_and_far_ones")
class WithFarSets(ToySets):
    """Sets to train and validate on, and sets that are spread more widely."""

    def build(self, runtime: Runtime) -> Data[SetDims, SetBatch]:
        data = super().build(runtime)
        x = 10 * torch.randn(20, 5, self.features, generator=torch.Generator().manual_seed(1))
        far = SetBatch(vectors=x, target=x - x.mean(dim=1, keepdim=True)).to(runtime.device)
        also = {
            "far": InMemory(far, batch_size=4, shuffle_seed=None),
            "far2": InMemory(far, batch_size=4, shuffle_seed=None),
        }
        return Data(dims=data.dims, train=data.train, val=data.val, also=also)


FAR = last_of_each(*SETS, "dm=toy_sets_and_far_ones", "training.epochs=3")


def test_each_split_is_measured_and_can_be_monitored(tmp_path: Path) -> None:
    value = compose([*FAR, "training.monitor=far_largest"]).run(tmp_path)
    far = column(tmp_path, "far_largest")
    assert list(far) == list(column(tmp_path, "val_loss")) == [8, 16, 24]
    assert value == min(far.values())
    assert all(far[step] > of_val for step, of_val in column(tmp_path, "val_largest").items())
    measured = compose([*FAR, "training.monitor=far_largest", "stage=validate"]).run(tmp_path)
    assert measured == value
    record = json.loads((tmp_path / "validate.json").read_text())
    assert record["far_largest"] == record["far2_largest"] == value
    assert record["val_largest"] < value


def test_limits_apply_to_each_split(tmp_path: Path) -> None:
    few = [*FAR, "training.limit_val_batches=1", "training.epochs=1", "opt.lr=1e-12"]
    compose(last_of_each(*few)).run(tmp_path / "few")
    compose(last_of_each(*few, "training.limit_val_batches=1.0")).run(tmp_path / "all")
    few_far, all_far = (column(tmp_path / name, "far_loss")[8] for name in ("few", "all"))
    assert few_far != all_far
    assert column(tmp_path / "few", "val_loss") == column(tmp_path / "all", "val_loss")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("training.monitor=fr_largest",), "Did you mean 'far_largest'"),
        (("training.monitor=lst",), "Did you mean 'last'"),
        (("training.monitor=far_largst",), "Did you mean 'val_largest'"),  # before data are read
        (("training.monitor=far_largest", "training.monitor_mode=max"), "keep the worst weights"),
        (
            ("training.monitor=fr_own", "training.monitor_mode=max"),
            "nothing called|no such thing|no validation is known",
        ),
    ],
)
def test_a_measure_of_no_split_is_refused(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        compose([*FAR, *options]).run(tmp_path / "run")


def test_a_sweep_knows_which_way_is_better_on_it() -> None:
    ways, monitored = directions(compose([*FAR, "training.monitor=far_largest"]))
    assert (ways[""], monitored) == ("minimize", "far_largest")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("val",), "for 'val' could not be told apart from those for 'val'"),
        (("train_more",), "for 'train_more' could not be told apart from those for 'train'"),
        (("far", "far_out"), "for 'far_out' could not be told apart from those for 'far'"),
        (("far out",), "'far out' cannot be the name of a validation split"),
    ],
)
def test_names_that_would_be_ambiguous_are_refused(names: tuple[str, ...], said: str) -> None:
    data = ToySets().build(Runtime(device=torch.device("cpu"), seed=0, run_dir=Path()))
    assert data.val is not None
    with pytest.raises(UserError, match=said):
        Data(dims=data.dims, train=data.train, val=data.val, also=dict.fromkeys(names, data.val))


def test_the_learning_curves_of_every_split_share_axes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []

    def keep(figure: object, path: Path) -> None:
        del path
        drawn.append(figure)

    monkeypatch.setattr("runwright.rundir.learning_curves.save_figure", keep)
    (tmp_path / "metrics.csv").write_text(
        "step,lr,train_loss,val_loss,far_out_loss\n1,0.1,1,2,3\n2,0.1,1,2,3\n"
    )
    draw_learning_curves(tmp_path / "metrics.csv", tmp_path / "a.png", ["val", "far_out"])
    loss, rate = drawn[0].axes
    assert (loss.get_title(), rate.get_title()) == ("loss", "learning rate")
    labels = [text.get_text() for text in loss.get_legend().get_texts()]
    assert labels == ["training", "validation", "far_out"]


def test_the_learning_curves_show_what_is_tracked_and_not_the_steps(
    tmp_path: Path,
) -> None:
    (tmp_path / "metrics.csv").write_text(
        "step,epoch,lr,train_loss,grad_norm\n1,0,0.1,30,2\n2,0,0.1,1,1\n"
    )
    figure = learning_curves(tmp_path / "metrics.csv", ["val"])
    assert figure is not None
    assert [axes.get_title() for axes in figure.axes] == [
        "loss",
        "norm of the gradients",
        "learning rate",
    ]
    assert figure.axes[0].get_yscale() == "log"


def test_the_last_weights_are_kept_when_no_measure_is_to_decide(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = last_of_each(*SETS, "training.epochs=6", "opt.lr=1", "opt.schedule=constant")
    best = compose(options).run(tmp_path / "best")
    last = compose([*options, "training.monitor=last"]).run(tmp_path / "last")
    losses = column(tmp_path / "last", "val_loss")
    assert last == losses[48]
    assert best == min(losses.values()) < last
    said = capsys.readouterr().out
    assert f"Last val_loss: {last:.4f}, at step 48 of 48." in said
    folder = tmp_path / "last" / "checkpoints"
    assert (folder / "best.safetensors").samefile(folder / "last.safetensors")
    compose([*options, "training.monitor=last"]).run(tmp_path / "last")
    assert "This run has finished. Last val_loss" in capsys.readouterr().out
    result = read_result(tmp_path / "last")
    assert result is not None
    assert result.is_last
    assert rows(tmp_path / "best") == rows(tmp_path / "last")


def test_early_stopping_needs_a_measure_that_decides() -> None:
    with pytest.raises(UserError, match=r"training\.early_stopping must be null with training\.mo"):
        compose([*SETS, "training.monitor=last", "training.early_stopping=3"])


def test_each_run_of_a_process_has_the_float32_precision_that_it_asks_for(tmp_path: Path) -> None:
    seen: list[str] = []

    class Reporter:
        def report(self, step: int, value: float) -> bool:
            seen.append(torch.get_float32_matmul_precision())
            return False

    for precision in ("high", "highest"):
        config = compose([*SETS, "training.max_steps=1", f"training.float32_precision={precision}"])
        run(config, tmp_path / precision, Caller(reporter=Reporter()))
    assert seen == ["high", "highest"]
    with pytest.raises(UserError, match=r"training\.float32_precision"):
        compose([*SETS, "training.float32_precision=hi"])
