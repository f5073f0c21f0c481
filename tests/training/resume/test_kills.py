"""A run that was killed and resumed ends exactly like one that was not."""

import datetime
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from conftest import last_of_each
from programs import run_python
from runwright import UserError, compose
from runwright.rundir.directory import RunDir
from toy_domain import ToySets
from training.resume.conftest import ALLOWED, DIE_AT_STEP_30, OVERRIDES, assert_equal_runs


@pytest.mark.slow
@pytest.mark.parametrize(("save_every", "kills"), [(1, 25), (10, 15)])
def test_sigkill_at_random_moments_changes_no_byte(
    tmp_path: Path, save_every: int, kills: int
) -> None:
    script = Path(__file__).with_name("kill_points.py")
    arguments = [str(tmp_path / "runs"), str(save_every), str(kills)]
    overrides = [*OVERRIDES, f"checkpoint.save_every={save_every}"]
    done = run_python(script, *arguments, *overrides, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"(\d+) kills", done.stdout)[-1]) >= kills
    broken = sorted((tmp_path / "runs").glob("broken-*[0-9]"))
    assert broken
    for run in broken:
        assert_equal_runs(tmp_path / "runs" / "unbroken", run)


def test_the_order_of_measures_survives_a_kill_before_the_first_training_record(
    tmp_path: Path,
) -> None:
    # The losses of these sets are in no alphabetical order.
    domain = f"import sys; sys.path[:0] = {list(filter(None, sys.path))}; import toy_domain\n"
    options = [f"dm={ToySets.config_choice}", "model=set_encoder", "gpu=-1", "pictures=false"]
    options += ["training.max_steps=40", "training.log_every=40", "checkpoint.save_every=5"]
    options += ["training.val_every=32"]
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    compose(options).run(unbroken)
    done = run_python("-c", domain + DIE_AT_STEP_30, str(broken), *options)
    assert done.returncode == -9, done.stderr
    compose(options).run(broken)
    assert_equal_runs(unbroken, broken)
    header = (broken / "metrics.csv").read_text().splitlines()[0]
    assert header == "step,epoch,lr,train_loss,train_largest,val_loss,val_largest"
    results = [json.loads((run / "result.json").read_text()) for run in (unbroken, broken)]
    assert list(results[0]["measures"]) == list(results[1]["measures"])


def test_the_time_of_a_run_is_that_of_all_its_processes(killed: Path) -> None:
    path = killed / "environment.json"
    record = json.loads(path.read_text())
    started = datetime.datetime.fromisoformat(record["started"])
    record["started"] = (started - datetime.timedelta(seconds=1000)).isoformat()
    path.write_text(json.dumps(record))
    longer = ("training.epochs=5", ALLOWED)
    seconds: list[float] = []
    for more in ((), longer):
        compose(last_of_each(*OVERRIDES, "checkpoint.save_every=10", *more)).run(killed)
        seconds.append(json.loads((killed / "result.json").read_text())["seconds"])
    assert 1000 < seconds[0] < seconds[1] < 1300


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
    named = state if damage == "state" else newest
    assert f"Damaged checkpoint {named}: " in said
    assert "Using the previous one, from step 20." in said
    assert "Resuming after step 20 of 124." in said
    assert_equal_runs(unbroken, killed)


def test_a_run_with_damaged_best_weights_goes_on_and_writes_them_anew(
    killed: Path, unbroken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = killed / "checkpoints" / "best.safetensors"
    flip_a_byte(best)
    compose([*OVERRIDES, "checkpoint.save_every=10"]).run(killed)
    said = capsys.readouterr().out
    assert f"Damaged best weights {best}: its content does not match its digest." in said
    assert "The next better validation will rewrite them." in said
    assert_equal_runs(unbroken, killed)


@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_a_run_without_whole_best_weights_finishes_and_says_what_is_not_drawn(
    unbroken: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "run"))
    best = run_dir / "checkpoints" / "best.safetensors"
    (run_dir / "result.json").unlink()
    if damage == "flipped":
        flip_a_byte(best)
    else:
        best.unlink()
    options = last_of_each(*OVERRIDES, "checkpoint.save_every=10", "pictures=true")
    compose(options).run(run_dir)
    said = capsys.readouterr().out
    assert "The validation is not drawn: " in said
    assert str(best) in said
    assert json.loads((run_dir / "result.json").read_text())["status"] == "finished"
    with pytest.raises(
        UserError, match="is not an intact" if damage == "flipped" else "no weights"
    ):
        compose(last_of_each(*options, "stage=validate", f"checkpoint.load={best}")).run(
            tmp_path / "other"
        )


def test_when_every_checkpoint_is_damaged_nothing_is_overwritten(killed: Path) -> None:
    for path in (killed / "checkpoints").iterdir():  # a copy, in which no two files are one
        flip_a_byte(path)
    with pytest.raises(UserError, match="Every checkpoint of this run is damaged"):
        compose([*OVERRIDES, "checkpoint.save_every=10"]).run(killed)
    assert (killed / "checkpoints" / "step-00000030.safetensors").exists()


def test_without_a_checkpoint_a_run_starts_anew_beside_its_best_weights(
    best_only: Path, unbroken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compose([*OVERRIDES, "checkpoint.save_every=10"]).run(best_only)
    said = capsys.readouterr().out
    assert "Only the best weights are left of this run: starting over." in said
    assert "Resuming" not in said
    assert_equal_runs(unbroken, best_only)


def test_no_checkpoint_is_promised_where_there_are_only_best_weights(
    best_only: Path, killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run_dir, promised in ((best_only, False), (killed, True)):
        with pytest.raises(KeyboardInterrupt), RunDir.open(run_dir, compose(OVERRIDES)):
            raise KeyboardInterrupt
        assert ("A checkpoint was saved. To resume:" in capsys.readouterr().out) == promised


def test_two_processes_cannot_write_to_one_run_directory(tmp_path: Path) -> None:
    from filelock import FileLock

    (tmp_path / "run").mkdir()
    with (
        FileLock(tmp_path / "run" / ".lock"),
        pytest.raises(UserError, match="Another process is writing to"),
    ):
        compose(OVERRIDES).run(tmp_path / "run")


def test_what_a_killed_process_left_half_written_is_removed(killed: Path) -> None:
    folder = killed / "checkpoints"
    halves = [folder / ".step-00000040.safetensors.77.78.tmp", folder / "step-00000040.safetensors"]
    for path in halves:
        path.write_bytes(b"half")
    compose([*OVERRIDES, "checkpoint.save_every=10"]).run(killed)
    assert not halves[0].exists()
    assert not any(path.name.endswith(".tmp") for path in folder.iterdir())
