"""A run goes on from any checkpoint of another one, which stays as it is; many can be kept."""

import csv
import filecmp
import json
import shutil
from pathlib import Path

import pytest

from conftest import last_of_each
from programs import run_python
from runwright import UserError, compose
from runwright.rundir.checkpoint import read_pair
from runwright.rundir.tensor_files import read_weights
from training.resume.conftest import (
    ALLOWED,
    DIE_AT_STEP_30,
    OVERRIDES,
    assert_equal_runs,
    contents,
)

OFTEN = (*OVERRIDES, "checkpoint.save_every=10")


def steps_kept(run_dir: Path) -> list[int]:
    names = (run_dir / "checkpoints").glob("step-*.state.safetensors")
    return sorted(int(path.name[5:13]) for path in names)


def table(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def all_kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("all") / "run"
    compose([*OVERRIDES, "checkpoint.save_every=0.5", "checkpoint.keep=null"]).run(run_dir)
    return run_dir


def test_every_checkpoint_is_kept_when_that_is_asked_for(all_kept: Path, unbroken: Path) -> None:
    # Half an epoch of 31 steps is 15.5, which are 16.
    assert steps_kept(all_kept) == [16, 32, 48, 64, 80, 96, 112, 124]
    assert_equal_runs(unbroken, all_kept)


def test_some_are_kept_for_good_beside_the_newest(tmp_path: Path) -> None:
    compose([*OFTEN, "checkpoint.keep_every=1.0"]).run(tmp_path)
    assert steps_kept(tmp_path) == [31, 62, 93, 124]


def test_a_run_goes_on_exactly_from_an_earlier_step_of_another(
    all_kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(all_kept)
    origin = all_kept / "checkpoints" / "step-00000064.safetensors"
    branch = [*OFTEN, f"checkpoint.resume_from={origin}"]
    compose(branch).run(tmp_path / "branch")
    said = capsys.readouterr().out
    assert f"Continuing from {origin}, after step 64 of 124." in said
    assert "Changed since" not in said
    assert contents(all_kept) == before
    whole, last = all_kept, tmp_path / "branch"
    names = ("last.safetensors", "last.state.safetensors")
    same = [filecmp.cmp(whole / "checkpoints" / n, last / "checkpoints" / n, False) for n in names]
    assert same[0]
    assert table(last) == table(whole)
    assert (last / "checkpoints" / "best.safetensors").exists()


def test_a_branch_that_is_killed_goes_on_by_the_same_command(
    all_kept: Path, tmp_path: Path
) -> None:
    origin = all_kept / "checkpoints" / "step-00000064.safetensors"
    branch = [*OFTEN, f"checkpoint.resume_from={origin}"]
    for step in (70, 110):
        script = DIE_AT_STEP_30.replace("step == 30", f"step == {step}")
        done = run_python("-c", script, tmp_path / "branch", *branch)
        assert done.returncode == -9, done.stdout
    compose(branch).run(tmp_path / "branch")
    name = "checkpoints/last.safetensors"
    assert filecmp.cmp(all_kept / name, tmp_path / "branch" / name, shallow=False)
    assert table(tmp_path / "branch") == table(all_kept)


def test_what_is_changed_in_a_branch_is_told(
    all_kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    origin = all_kept / "checkpoints" / "step-00000064.safetensors"
    changed = last_of_each(*OVERRIDES, "opt.lr=0.001", f"checkpoint.resume_from={origin}")
    compose(changed).run(tmp_path / "branch")
    assert "Changed since that run:\n  opt.lr: 0.003 → 0.001\n" in capsys.readouterr().out
    rows = table(tmp_path / "branch")
    parents = table(all_kept)
    until = [row for row in rows if int(row["step"]) <= 64]
    assert until == parents[: len(until)]
    assert rows != parents


def test_the_newest_checkpoint_of_a_finished_run_trains_on_elsewhere(
    unbroken: Path, tmp_path: Path
) -> None:
    options = last_of_each(*OVERRIDES, f"checkpoint.resume_from={unbroken}")
    with pytest.raises(UserError, match=r"of step 124, and the training has 124\. Take an earlier"):
        compose(options).run(tmp_path / "same")
    compose(last_of_each(*options, "training.epochs=5")).run(tmp_path / "longer")
    assert json.loads((tmp_path / "longer" / "result.json").read_text())["steps"] == 155


def test_what_cannot_be_gone_on_from_is_refused_before_the_data_are_read(
    all_kept: Path, tmp_path: Path
) -> None:
    folder = all_kept / "checkpoints"
    for given, said in (
        (folder / "step-00000065.safetensors", "no such checkpoint. .* has .*step-00000064.saf"),
        (folder / "best.safetensors", "contains only weights"),
        (tmp_path / "nowhere", "There are none in"),
        (tmp_path, "There are none in"),
    ):
        with pytest.raises(UserError, match=said):
            compose([*OVERRIDES, f"checkpoint.resume_from={given}"]).run(tmp_path / "branch")
    assert not (tmp_path / "branch" / "pictures").exists()


def test_a_run_does_not_go_back_in_its_own_directory(all_kept: Path, tmp_path: Path) -> None:
    run_dir = Path(shutil.copytree(all_kept, tmp_path / "run"))
    before = contents(run_dir)
    origin = f"checkpoint.resume_from={run_dir / 'checkpoints' / 'step-00000064.safetensors'}"
    with pytest.raises(UserError, match=r"use another run_dir: later results stay here"):
        compose([*OVERRIDES, origin, ALLOWED]).run(run_dir)
    assert contents(run_dir) == before


def best_steps(run_dir: Path) -> list[int]:
    names = (run_dir / "checkpoints").glob("best-step-*.state.safetensors")
    return sorted(int(path.name[10:18]) for path in names)


def ranked(run_dir: Path, number: int) -> list[int]:
    measured = [
        (float(r["val_accuracy"]), -int(r["step"])) for r in table(run_dir) if r["val_loss"]
    ]
    return [-step for _, step in sorted(measured, reverse=True)[:number]]


def test_the_weights_of_the_best_validations_are_kept(unbroken: Path, tmp_path: Path) -> None:
    options = [*OFTEN, "checkpoint.keep_best=3"]
    compose(options).run(tmp_path / "run")
    expected = ranked(tmp_path / "run", 3)
    assert best_steps(tmp_path / "run") == sorted(expected)
    folder = tmp_path / "run" / "checkpoints"
    assert read_pair(folder / "best.safetensors").info["step"] == expected[0]
    assert_equal_runs(unbroken, tmp_path / "run")
    # They are the weights that were validated: the moving averages.
    second = folder / f"best-step-{expected[1]:08d}.safetensors"
    stage = last_of_each(*options, "stage=validate", f"checkpoint.load={second}")
    value = compose(stage).run(tmp_path / "validate")
    assert value == read_pair(second).info["val_accuracy"]
    rows = {int(row["step"]): row for row in table(tmp_path / "run")}
    assert value == float(rows[expected[1]]["val_accuracy"])
    # In a run that is killed they are the same.
    script = DIE_AT_STEP_30.replace("step == 30", "step in (30, 90)")
    for _ in range(2):
        done = run_python("-c", script, tmp_path / "killed", *options)
        if done.returncode == 0:
            break
    compose(options).run(tmp_path / "killed")
    for path in folder.glob("best*.safetensors"):
        assert filecmp.cmp(path, tmp_path / "killed" / "checkpoints" / path.name, shallow=False)
    assert best_steps(tmp_path / "killed") == best_steps(tmp_path / "run")


def test_another_number_of_best_weights_counts_from_where_it_is_asked_for(
    killed: Path, unbroken: Path
) -> None:
    compose([*OFTEN, "checkpoint.keep_best=2"]).run(killed)
    assert len(best_steps(killed)) == 2
    assert best_steps(killed) == sorted(ranked(killed, 2))
    name = Path("checkpoints/best.safetensors")
    assert read_weights(killed / name).keys() == read_weights(unbroken / name).keys()
    assert_equal_runs(unbroken, killed)


def test_there_is_only_one_last() -> None:
    with pytest.raises(UserError, match=r"checkpoint\.keep_best must be 1 with training\.monitor="):
        compose(
            last_of_each(
                *OVERRIDES,
                *("training.monitor=last", "training.early_stopping=null"),
                "checkpoint.keep_best=2",
            )
        )
