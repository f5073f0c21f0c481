"""A run that was killed and resumed ends exactly like one that was not."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runwright import UserError, compose

# Everything that has a state: dropout, a moving average, gradients over two batches, early
# stopping's counter, validation within the epoch, a measure that is recorded at odd steps.
OVERRIDES = (
    "gpu=-1",
    "dm=cmnist",
    "model=fcn",
    "model.hidden_dim=32",
    "model.dropout_prob=0.2",
    "opt.lr=0.003",
    "opt.weight_decay=0.01",
    "training.epochs=4",
    "training.ema_decay=0.9",
    "training.accumulate_grad_batches=2",
    "training.val_every=0.5",
    "training.log_every=7",
    "training.early_stopping=20",
    "pictures=false",
)


def assert_equal_runs(unbroken: Path, broken: Path) -> None:
    for name in ("checkpoints/last.safetensors", "checkpoints/best.safetensors", "metrics.csv"):
        assert (broken / name).read_bytes() == (unbroken / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize(("save_every", "kills"), [(1, 25), (10, 15)])
def test_sigkill_at_random_moments_changes_no_byte(
    tmp_path: Path, save_every: int, kills: int
) -> None:
    script = Path(__file__).with_name("kill_points.py")
    arguments = [str(tmp_path / "runs"), str(save_every), str(kills)]
    overrides = [*OVERRIDES, f"checkpoint.save_every={save_every}"]
    done = subprocess.run(
        [sys.executable, str(script), *arguments, *overrides],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"(\d+) kills", done.stdout)[-1]) >= kills
    broken = sorted((tmp_path / "runs").glob("broken-*[0-9]"))
    assert broken
    for run in broken:
        assert_equal_runs(tmp_path / "runs" / "unbroken", run)


_DIE_AT_STEP_30 = """
import os, signal, sys
from runwright import compose
from runwright.checkpoint import Checkpoints
save = Checkpoints.save
def save_and_die(self, step, *rest):
    save(self, step, *rest)
    if step == 30:
        os.kill(os.getpid(), signal.SIGKILL)
Checkpoints.save = save_and_die
compose(sys.argv[2:]).run(sys.argv[1])
"""


@pytest.fixture(scope="module")
def killed_at_30(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("killed") / "run"
    arguments = [str(run_dir), *OVERRIDES, "checkpoint.save_every=10"]
    done = subprocess.run(
        [sys.executable, "-c", _DIE_AT_STEP_30, *arguments], capture_output=True, check=False
    )
    assert done.returncode == -9, done.stderr.decode()
    return run_dir


@pytest.fixture
def killed(killed_at_30: Path, tmp_path: Path) -> Path:
    """A run directory that holds checkpoints of steps 20 and 30 of 124."""
    return Path(shutil.copytree(killed_at_30, tmp_path / "killed"))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("unbroken") / "run"
    compose([*OVERRIDES, "checkpoint.save_every=10"]).run(run_dir)
    return run_dir


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("damage", ["weights", "state", "cut", "gone"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(
    killed: Path, unbroken: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = killed / "checkpoints" / "step-00000030.safetensors"
    state = newest.with_name("step-00000030.state.safetensors")
    if damage == "weights":
        flip_a_byte(newest)
    elif damage == "state":
        flip_a_byte(state)
    elif damage == "cut":
        newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    else:
        newest.unlink()
        (killed / "checkpoints" / "last.safetensors").unlink()
    compose([*OVERRIDES, "checkpoint.save_every=10"]).run(killed)
    said = capsys.readouterr().out
    assert "Damaged checkpoint" in said
    assert "step-00000030.safetensors" in said
    assert "Using the one before it, of step 20." in said
    assert "Resuming after step 20 of 124." in said
    assert_equal_runs(unbroken, killed)


def test_when_every_checkpoint_is_damaged_nothing_is_overwritten(killed: Path) -> None:
    for path in (killed / "checkpoints").iterdir():  # a copy, in which no two files are one
        flip_a_byte(path)
    with pytest.raises(UserError, match="No checkpoint of this run is whole"):
        compose([*OVERRIDES, "checkpoint.save_every=10"]).run(killed)
    assert (killed / "checkpoints" / "step-00000030.safetensors").exists()


def test_a_changed_configuration_is_refused_with_the_changed_keys(killed: Path) -> None:
    changed = ("opt.lr=0.01", "training.epochs=5", "checkpoint.save_every=20")
    with pytest.raises(UserError) as caught:
        compose([*OVERRIDES, *changed]).run(killed)
    assert "opt.lr: 0.003 → 0.01" in str(caught.value)
    assert "training.epochs: 4 → 5" in str(caught.value)
    assert "save_every" not in str(caught.value)
    assert "checkpoint.allow_changes=true" in str(caught.value)
    compose([*OVERRIDES, *changed, "checkpoint.allow_changes=true"]).run(killed)


def test_a_finished_run_is_not_trained_again(
    unbroken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "finished"))
    capsys.readouterr()
    value = compose([*OVERRIDES, "checkpoint.save_every=10"]).run(run_dir)
    assert value == json.loads((unbroken / "result.json").read_text())["value"]
    assert "steps/s" not in capsys.readouterr().out
    assert_equal_runs(unbroken, run_dir)


def test_two_processes_cannot_write_to_one_run_directory(tmp_path: Path) -> None:
    from filelock import FileLock

    (tmp_path / "run").mkdir()
    with (
        FileLock(tmp_path / "run" / ".lock"),
        pytest.raises(UserError, match="Another process is writing to"),
    ):
        compose(OVERRIDES).run(tmp_path / "run")


def test_changed_grouping_of_the_parameters_keeps_their_moments(killed: Path) -> None:
    # Without weight decay all parameters are one group, with it two: their order changes.
    changed = [*OVERRIDES, "opt.weight_decay=0", "checkpoint.save_every=10"]
    value = compose([*changed, "checkpoint.allow_changes=true"]).run(killed)
    assert value > 0.8


def test_another_measure_to_monitor_starts_anew(
    killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = ["training.monitor=val_loss", "checkpoint.allow_changes=true"]
    value = compose([*OVERRIDES, *changed]).run(killed)
    assert "val_loss decides from here on" in capsys.readouterr().out
    with (killed / "metrics.csv").open() as file:
        losses = [float(r["val_loss"]) for r in csv.DictReader(file) if r["val_loss"]]
    assert value == min(losses[1:])


@pytest.mark.parametrize("change", ["training.ema_decay=null", "training.precision=bf16"])
def test_a_run_can_be_resumed_with_other_means(killed: Path, change: str) -> None:
    compose([*OVERRIDES, change, "checkpoint.allow_changes=true"]).run(killed)


def test_a_changed_model_is_refused_even_if_changes_are_allowed(killed: Path) -> None:
    with pytest.raises(UserError, match=r"not of this model, 5 differences"):
        compose([*OVERRIDES, "model.hidden_dim=33", "checkpoint.allow_changes=true"]).run(killed)


def test_what_a_killed_process_left_half_written_is_removed(killed: Path) -> None:
    folder = killed / "checkpoints"
    halves = [folder / ".step-00000040.safetensors.77.tmp", folder / "step-00000040.safetensors"]
    for path in halves:
        path.write_bytes(b"half")
    compose([*OVERRIDES, "checkpoint.save_every=10"]).run(killed)
    assert not halves[0].exists()
    assert not any(path.name.endswith(".tmp") for path in folder.iterdir())


def test_weights_are_not_measured_on_other_data_or_with_another_model(unbroken: Path) -> None:
    stage = [*OVERRIDES, "stage=validate", f"checkpoint.load={unbroken}"]
    with pytest.raises(UserError, match=r"dm\.split_seed: 0 → 7"):
        compose([*stage, "dm.split_seed=7"]).run("other")
    with pytest.raises(UserError, match=r"model\.activation: GELU → TANH"):
        compose([*stage, "model.activation=TANH"]).run("other")
    compose([*stage, "dm.split_seed=7", "checkpoint.allow_changes=true"]).run("other")


def test_a_measurement_leaves_the_record_of_the_training_alone(
    unbroken: Path, tmp_path: Path
) -> None:
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "run"))
    record = (run_dir / "result.json").read_bytes()
    compose([*OVERRIDES, "stage=validate"]).run(run_dir)
    with pytest.raises(UserError):
        compose([*OVERRIDES, "stage=validate", "model.hidden_dim=9"]).run(run_dir)
    assert (run_dir / "result.json").read_bytes() == record
