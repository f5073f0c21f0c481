"""A run is resumed with another configuration only when that is allowed, and keeps what it can."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch

from conftest import last_of_each
from programs import run_python
from runwright import UserError, compose
from runwright.device.distributed import World
from runwright.rundir.directory import RunDir
from runwright.rundir.tensor_files import read_tensors
from training.resume.conftest import ALLOWED, DIE_AT_STEP_30, OVERRIDES, contents


def test_a_changed_configuration_is_refused_with_the_changed_keys(killed: Path) -> None:
    changed = ("opt.lr=0.01", "training.epochs=5", "checkpoint.save_every=20")
    with pytest.raises(UserError) as caught:
        compose(last_of_each(*OVERRIDES, *changed)).run(killed)
    assert "opt.lr: 0.003 → 0.01" in str(caught.value)
    assert "training.epochs: 4 → 5" in str(caught.value)
    assert "save_every" not in str(caught.value)
    assert "checkpoint.allow_changes=true" in str(caught.value)
    compose(last_of_each(*OVERRIDES, *changed, "checkpoint.allow_changes=true")).run(killed)


@pytest.mark.parametrize("kept", ["checkpoints", "best"])
def test_what_has_lost_its_record_is_gone_on_from_only_when_told_to(
    killed: Path, best_only: Path, kept: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = killed if kept == "checkpoints" else best_only
    (run_dir / "config.yaml").unlink()
    before = contents(run_dir)
    with pytest.raises(UserError) as caught:
        compose(OVERRIDES).run(run_dir)
    assert "with an unknown configuration:\n  config.yaml is missing, which" in str(caught.value)
    assert "Put it back, use another run_dir, " in str(caught.value)
    assert contents(run_dir) == before
    compose([*OVERRIDES, ALLOWED]).run(run_dir)
    assert "config.yaml is missing" in capsys.readouterr().out
    assert (run_dir / "config.yaml").exists()


def test_best_weights_give_way_to_another_configuration_only_when_told_to(
    best_only: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = last_of_each(*OVERRIDES, "opt.lr=0.01")
    with pytest.raises(UserError) as caught:
        compose(changed).run(best_only)
    assert "holds the best weights of a run with another configuration" in str(caught.value)
    assert "start over in their place with checkpoint.allow_changes=true" in str(caught.value)
    assert (best_only / "checkpoints" / "best.safetensors").exists()
    before = contents(best_only)
    best = best_only / "checkpoints" / "best.safetensors"
    for sources, why in (
        (["training.limit_train_batches=0.0001"], "limit_train_batches"),  # known from the data
        ([f"checkpoint.load={best}"], "Starting over would remove what checkpoint.load="),
    ):
        with pytest.raises(UserError, match=why):
            compose([*changed, ALLOWED, *sources]).run(best_only)
        assert contents(best_only) == before
    capsys.readouterr()
    # Else they would pass for those of the new configuration, until it has some of its own.
    with RunDir.open(best_only, compose([*changed, ALLOWED])) as directory:
        directory.take_place(World())
        assert not (best_only / "checkpoints").exists()
    said = capsys.readouterr().out
    assert "Starting over with a changed configuration:\n  opt.lr: 0.003 → 0.01" in said


def optimizer_state(path: Path) -> dict[str, torch.Tensor]:
    tensors = read_tensors(path)[0]
    return {name: tensor for name, tensor in tensors.items() if name.startswith("optimizer/")}


def test_changed_grouping_of_the_parameters_keeps_their_moments(killed: Path) -> None:
    before = optimizer_state(killed / "checkpoints" / "step-00000030.state.safetensors")
    # Without weight decay all parameters are one group, with it two: their order changes.
    changed = last_of_each(*OVERRIDES, "opt.weight_decay=0", "training.max_steps=31")
    compose([*changed, "checkpoint.allow_changes=true"]).run(killed)
    after = optimizer_state(killed / "checkpoints" / "last.state.safetensors")
    assert after.keys() == before.keys()
    for name, moment in after.items():
        if name.endswith("/step"):
            assert moment == 31, name
        elif name.endswith("/exp_avg_sq"):  # AdamW keeps 0.999 of it and adds a square
            assert bool((moment >= 0.99899 * before[name]).all()), name


def test_another_measure_to_monitor_starts_anew(
    killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = ["training.monitor=val_loss", "checkpoint.allow_changes=true"]
    value = compose(last_of_each(*OVERRIDES, *changed)).run(killed)
    assert "val_loss decides from here on" in capsys.readouterr().out
    with (killed / "metrics.csv").open() as file:
        losses = [float(r["val_loss"]) for r in csv.DictReader(file) if r["val_loss"]]
    assert value == min(losses[1:])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("training.ema_decay=null", "training.ema_decay: 0.9 → None\n"),
        ("training.precision=bf16", "training.precision: fp32 → bf16\n"),
    ],
)
def test_a_run_can_be_resumed_with_other_means(
    killed: Path, unbroken: Path, capsys: pytest.CaptureFixture[str], change: str, said: str
) -> None:
    compose(last_of_each(*OVERRIDES, change, "checkpoint.allow_changes=true")).run(killed)
    printed = capsys.readouterr().out
    assert said in printed
    assert "Resuming after step 30 of 124." in printed
    result = json.loads((killed / "result.json").read_text())
    assert (result["status"], result["steps"]) == ("finished", 124)
    last, usual = (run_dir / "checkpoints" / "last.safetensors" for run_dir in (killed, unbroken))
    # The average takes no part in the training, only in what is validated and is the best.
    assert (last.read_bytes() == usual.read_bytes()) == ("ema" in change)
    state = read_tensors(last.with_name("last.state.safetensors"))[0]
    has_average = any(name.startswith("ema/") for name in state)
    assert has_average == ("ema" not in change)


def test_a_changed_model_is_refused_even_if_changes_are_allowed(killed: Path) -> None:
    with pytest.raises(UserError, match=r"do not fit this model, 5 differences"):
        compose(
            last_of_each(*OVERRIDES, "model.hidden_dim=33", "checkpoint.allow_changes=true")
        ).run(killed)


def record(run_dir: Path) -> dict[str, bytes]:
    """What the run directory says of the run, apart from its log."""
    names = ("config.yaml", "command.txt", "environment.json", "result.json", "metrics.csv")
    return {name: (run_dir / name).read_bytes() for name in names}


def test_what_cannot_be_resumed_changes_nothing_on_record(unbroken: Path, tmp_path: Path) -> None:
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "finished"))
    before = record(run_dir)
    with pytest.raises(UserError, match="do not fit this model"):
        compose(last_of_each(*OVERRIDES, "model.hidden_dim=33", ALLOWED)).run(run_dir)
    assert record(run_dir) == before


def test_what_is_not_trained_with_is_not_put_on_record(unbroken: Path, tmp_path: Path) -> None:
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "finished"))
    before = record(run_dir)
    compose(last_of_each(*OVERRIDES, "opt.lr=0.5", ALLOWED)).run(
        run_dir
    )  # has no more steps than before
    assert record(run_dir) == before


def test_the_weights_to_start_from_are_part_of_the_record(unbroken: Path, tmp_path: Path) -> None:
    started = [*OVERRIDES, f"checkpoint.load={unbroken}", "checkpoint.save_every=10"]
    run_dir = tmp_path / "run"
    assert run_python("-c", DIE_AT_STEP_30, run_dir, *started).returncode == -9
    with pytest.raises(UserError, match=r"checkpoint\.load: .* → None"):
        compose(OVERRIDES).run(run_dir)


_FAIL_AFTER_A_BEST = """
import sys
from runwright import compose
from runwright.training.run_log import RunLog
line = RunLog.line
def line_and_fail(self, step, measures):
    line(self, step, measures)
    if step > 30:
        raise RuntimeError("after a validation that no checkpoint holds")
RunLog.line = line_and_fail
compose(sys.argv[2:]).run(sys.argv[1])
"""


def test_best_weights_of_before_a_change_keep_their_value(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    options = [*OVERRIDES, "checkpoint.save_every=25"]
    done = run_python("-c", _FAIL_AFTER_A_BEST, run_dir, *options)
    assert "RuntimeError: after a validation" in done.stderr
    # So high a rate that nothing better comes.
    value = compose(last_of_each(*options, "opt.lr=10", "opt.schedule=constant", ALLOWED)).run(
        run_dir
    )
    result = json.loads((run_dir / "result.json").read_text())
    assert result["step"] > 25
    assert result["value"] == value
    validated = [*options, "stage=validate", ALLOWED]
    assert compose(validated).run(run_dir) == value


def test_another_optimiser_starts_with_a_state_of_its_own(
    killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    momentum = "opt.optimizer_kwargs={momentum: 0.9}"
    compose([*OVERRIDES, "opt.optimizer_cls=SGD", momentum, ALLOWED]).run(killed)
    said = capsys.readouterr().out
    assert "it was saved by AdamW(), and this is SGD(momentum=0.9)" in said
