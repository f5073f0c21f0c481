"""A run that was killed and resumed ends exactly like one that was not."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from runwright import UserError, compose
from runwright.checkpoint import read_tensors
from runwright.rundir import RunDir

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


def contents(run_dir: Path) -> dict[str, bytes]:
    """Everything in a run directory but the log, which every start adds to."""
    files = (path for path in run_dir.rglob("*") if path.is_file())
    return {str(p.relative_to(run_dir)): p.read_bytes() for p in files if p.name != "log.txt"}


def test_a_finished_run_is_left_alone_and_says_how_to_go_on(
    unbroken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "finished"))
    before = contents(run_dir)
    capsys.readouterr()
    value = compose([*OVERRIDES, "checkpoint.save_every=10"]).run(run_dir)
    assert value == json.loads((unbroken / "result.json").read_text())["value"]
    assert contents(run_dir) == before
    said = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"This run has finished. Best val_accuracy: 0.\d+, at step \d+ of 124.", said[0]
    )
    assert "more training.epochs or training.max_steps" in said[1]
    assert "checkpoint.allow_changes=true" in said[1]
    assert said[2:] == [f"Run directory: {run_dir}"]


def test_only_the_pictures_that_a_finished_run_lacks_are_drawn(
    unbroken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "finished"))
    with_pictures = [one for one in OVERRIDES if one != "pictures=false"]
    compose(with_pictures).run(run_dir)
    assert "The training had come to its end, after step 124 of 124." in capsys.readouterr().out
    assert (run_dir / "pictures" / "learning_curves.png").exists()
    assert (run_dir / "result.json").read_bytes() == (unbroken / "result.json").read_bytes()
    assert_equal_runs(unbroken, run_dir)
    before = contents(run_dir)
    compose(with_pictures).run(run_dir)
    assert contents(run_dir) == before


def test_a_finished_run_can_be_trained_on(
    unbroken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "finished"))
    longer = [*OVERRIDES, "training.epochs=5"]
    with pytest.raises(UserError, match="training.epochs: 4 → 5"):
        compose(longer).run(run_dir)
    compose([*longer, "checkpoint.allow_changes=true"]).run(run_dir)
    assert "Resuming after step 124 of 155." in capsys.readouterr().out
    assert json.loads((run_dir / "result.json").read_text())["steps"] == 155


def test_a_run_that_was_killed_when_it_trained_on_has_not_finished(
    unbroken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "finished"))
    longer = [*OVERRIDES, "training.epochs=5", "checkpoint.save_every=10"]
    longer += ["checkpoint.allow_changes=true"]
    script = _DIE_AT_STEP_30.replace("30", "130")
    done = subprocess.run([sys.executable, "-c", script, str(run_dir), *longer], check=False)
    assert done.returncode == -9
    capsys.readouterr()
    compose(longer).run(run_dir)
    assert "Resuming after step 130 of 155." in capsys.readouterr().out


@pytest.fixture
def best_only(unbroken: Path, tmp_path: Path) -> Path:
    """A run directory as a failure before the first checkpoint leaves it."""
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "best_only"))
    for path in [*(run_dir / "checkpoints").iterdir(), run_dir / "result.json"]:
        if not path.name.startswith("best"):
            path.unlink()
    return run_dir


def test_without_a_checkpoint_a_run_starts_anew_beside_its_best_weights(
    best_only: Path, unbroken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compose([*OVERRIDES, "checkpoint.save_every=10"]).run(best_only)
    said = capsys.readouterr().out
    assert "Only the best weights are left of this run: starting anew." in said
    assert "Resuming" not in said
    assert_equal_runs(unbroken, best_only)


def test_best_weights_give_way_to_another_configuration_only_when_told_to(
    best_only: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = [*OVERRIDES, "opt.lr=0.01"]
    with pytest.raises(UserError) as caught:
        compose(changed).run(best_only)
    assert "holds the best weights of a run with another configuration" in str(caught.value)
    assert "or start anew in their place with checkpoint.allow_changes=true" in str(caught.value)
    assert (best_only / "checkpoints" / "best.safetensors").exists()
    with RunDir.open(best_only, compose([*changed, "checkpoint.allow_changes=true"])):
        said = capsys.readouterr().out
    assert "Starting anew with a changed configuration:\n  opt.lr: 0.003 → 0.01" in said
    # Else they would pass for those of the new configuration, until it has some of its own.
    assert not list((best_only / "checkpoints").iterdir())


def test_a_finished_run_of_which_only_the_best_weights_were_kept_has_finished(
    best_only: Path, unbroken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(unbroken / "result.json", best_only)
    before = contents(best_only)
    compose(OVERRIDES).run(best_only)
    assert "This run has finished." in capsys.readouterr().out
    assert contents(best_only) == before


def test_no_checkpoint_is_promised_where_there_are_only_best_weights(
    best_only: Path, killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run_dir, promised in ((best_only, False), (killed, True)):
        with pytest.raises(KeyboardInterrupt), RunDir.open(run_dir, compose(OVERRIDES)):
            raise KeyboardInterrupt
        assert ("A checkpoint is saved. To go on:" in capsys.readouterr().out) == promised


def test_two_processes_cannot_write_to_one_run_directory(tmp_path: Path) -> None:
    from filelock import FileLock

    (tmp_path / "run").mkdir()
    with (
        FileLock(tmp_path / "run" / ".lock"),
        pytest.raises(UserError, match="Another process is writing to"),
    ):
        compose(OVERRIDES).run(tmp_path / "run")


def optimizer_state(path: Path) -> dict[str, torch.Tensor]:
    tensors = read_tensors(path)[0]
    return {name: tensor for name, tensor in tensors.items() if name.startswith("optimizer/")}


def test_changed_grouping_of_the_parameters_keeps_their_moments(killed: Path) -> None:
    before = optimizer_state(killed / "checkpoints" / "step-00000030.state.safetensors")
    # Without weight decay all parameters are one group, with it two: their order changes.
    changed = [*OVERRIDES, "opt.weight_decay=0", "training.max_steps=31"]
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
    value = compose([*OVERRIDES, *changed]).run(killed)
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
    compose([*OVERRIDES, change, "checkpoint.allow_changes=true"]).run(killed)
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


@pytest.mark.parametrize("way", ["beside", "link", "link_to_a_store"])
def test_the_record_of_weights_is_found_by_whatever_path_they_are_named(
    unbroken: Path, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = Path("best.safetensors")
    if way == "beside":
        monkeypatch.chdir(unbroken / "checkpoints")
    elif way == "link":
        named.symlink_to(unbroken / "checkpoints" / "best.safetensors")
    else:  # as tools for large files keep them
        run_dir = Path(shutil.copytree(unbroken, tmp_path / "run"))
        (tmp_path / "store" / "ab").mkdir(parents=True)
        (run_dir / "checkpoints" / named).rename(tmp_path / "store" / "ab" / "cd")
        named = run_dir / "checkpoints" / named
        named.symlink_to(tmp_path / "store" / "ab" / "cd")
    stage = [*OVERRIDES, "stage=validate", "dm.split_seed=7", f"checkpoint.load={named}"]
    with pytest.raises(UserError, match=r"dm\.split_seed: 0 → 7"):
        compose(stage).run(tmp_path / "other")


@pytest.mark.parametrize("content", ["foo: 1\n", "[", "defaults: [_self_]\n"])
def test_a_file_that_is_no_record_of_a_run_does_not_concern_the_weights(
    unbroken: Path, tmp_path: Path, content: str
) -> None:
    (tmp_path / "config.yaml").write_text(content)
    (tmp_path / "weights").mkdir()
    weights = tmp_path / "weights" / "mine.safetensors"
    shutil.copy(unbroken / "checkpoints" / "best.safetensors", weights)
    compose([*OVERRIDES, "stage=validate", f"checkpoint.load={weights}"]).run("other")


@pytest.mark.parametrize("lost", ["environment.json", "config.yaml"])
def test_a_record_counts_with_a_part_of_it_lost(unbroken: Path, tmp_path: Path, lost: str) -> None:
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "run"))
    if lost == "config.yaml":
        (run_dir / lost).write_text("[")
        said = "cannot be read"
    else:
        (run_dir / lost).unlink()
        said = r"dm\.split_seed: 0 → 7"
    stage = [*OVERRIDES, "stage=validate", "dm.split_seed=7", f"checkpoint.load={run_dir}"]
    with pytest.raises(UserError, match=said):
        compose(stage).run("other")


def test_a_measurement_leaves_the_record_of_the_training_alone(
    unbroken: Path, tmp_path: Path
) -> None:
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "run"))
    record = (run_dir / "result.json").read_bytes()
    compose([*OVERRIDES, "stage=validate"]).run(run_dir)
    with pytest.raises(UserError):
        compose([*OVERRIDES, "stage=validate", "model.hidden_dim=9"]).run(run_dir)
    assert (run_dir / "result.json").read_bytes() == record


ALLOWED = "checkpoint.allow_changes=true"


def record(run_dir: Path) -> dict[str, bytes]:
    """What the run directory says of the run, apart from its log."""
    names = ("config.yaml", "command.txt", "environment.json", "result.json", "metrics.csv")
    return {name: (run_dir / name).read_bytes() for name in names}


def test_what_cannot_be_resumed_changes_nothing_on_record(unbroken: Path, tmp_path: Path) -> None:
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "finished"))
    before = record(run_dir)
    with pytest.raises(UserError, match="not of this model"):
        compose([*OVERRIDES, "model.hidden_dim=33", ALLOWED]).run(run_dir)
    assert record(run_dir) == before


def test_what_is_not_trained_with_is_not_put_on_record(unbroken: Path, tmp_path: Path) -> None:
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "finished"))
    before = record(run_dir)
    compose([*OVERRIDES, "opt.lr=0.5", ALLOWED]).run(run_dir)  # has no more steps than before
    assert record(run_dir) == before


def test_the_weights_to_start_from_are_part_of_the_record(unbroken: Path, tmp_path: Path) -> None:
    started = [*OVERRIDES, f"checkpoint.load={unbroken}", "checkpoint.save_every=10"]
    run_dir = tmp_path / "run"
    script = [sys.executable, "-c", _DIE_AT_STEP_30, str(run_dir), *started]
    assert subprocess.run(script, capture_output=True, check=False).returncode == -9
    with pytest.raises(UserError, match=r"checkpoint\.load: .* → None"):
        compose(OVERRIDES).run(run_dir)


_FAIL_AFTER_A_BEST = """
import sys
from runwright import compose
from runwright.logging import RunLog
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
    script = [sys.executable, "-c", _FAIL_AFTER_A_BEST, str(run_dir), *options]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert "RuntimeError: after a validation" in done.stderr
    # So high a rate that nothing better comes.
    value = compose([*options, "opt.lr=10", "opt.schedule=constant", ALLOWED]).run(run_dir)
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
    assert "it was that of AdamW(), and this is SGD(momentum=0.9)" in said


def test_the_state_of_the_code_is_recorded_in_any_encoding(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    script = project / "main.py"
    script.write_text(
        "import sys\nfrom runwright import compose\ncompose(sys.argv[2:]).run(sys.argv[1])\n"
    )

    def git(*arguments: str) -> None:
        name = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *name, *arguments], cwd=project, check=True, capture_output=True)

    notes = project / "notes.txt"
    notes.write_text("")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    run_dir = tmp_path / "run"
    short = [*OVERRIDES, "training.max_steps=2", ALLOWED]

    def train(steps: int) -> dict[str, object]:
        options = [*short, f"training.max_steps={steps}"]
        subprocess.run([sys.executable, str(script), str(run_dir), *options], check=True)
        return json.loads((run_dir / "environment.json").read_text())

    notes.write_bytes(b"caf\xe9\n")
    assert train(2)["git_uncommitted_changes"] == [" M notes.txt"]
    assert b"+caf\xe9" in (run_dir / "git.diff").read_bytes()
    git("commit", "-am", "second")
    assert train(3)["git_uncommitted_changes"] == []
    assert not (run_dir / "git.diff").exists()
