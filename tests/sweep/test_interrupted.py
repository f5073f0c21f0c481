"""Sweeps that are killed, and sweeps that share a study."""

import contextlib
import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState

from conftest import REPOSITORY, last_of_each
from programs import Program, start_python
from runwright import compose
from runwright.sweep.study import load, replaced
from sweep.conftest import close, study

pytestmark = pytest.mark.slow

# Trials of about two seconds.
OPTIONS = (
    *("model=fcn", "model.hidden_dim=64", "gpu=-1", "pictures=false"),
    *("training.epochs=8", "checkpoint.save_every=10"),
    *("hydra/sweeper=runwright", "hydra/sweeper/pruner=none", "hydra.sweeper.heartbeat=2"),
    *("opt.lr=interval(1e-3, 3e-3)", "hydra.sweeper.sampler.seed=1"),
)


def start(*arguments: str) -> Program:
    command = (REPOSITORY / "main.py", "-m", *last_of_each(*OPTIONS, *arguments))
    return start_python(*command, start_new_session=True)


def wait_for_checkpoint(folder: Path) -> Path:
    """The directory of the first trial that has one."""
    deadline = time.monotonic() + 120
    while not (found := list(folder.glob("*/checkpoints/last.state.safetensors"))):
        assert time.monotonic() < deadline, "no trial wrote a checkpoint"
        time.sleep(0.05)
    return found[0].parents[1]


# A terminal sends Ctrl-C to all processes of a program, a service manager to the first one.
@pytest.mark.parametrize(
    ("jobs", "number", "to"),
    [
        (1, signal.SIGINT, os.killpg),
        (2, signal.SIGINT, os.killpg),
        (2, signal.SIGINT, os.kill),
        (2, signal.SIGKILL, os.killpg),
    ],
)
def test_a_sweep_that_was_stopped_goes_on_with_its_trials(
    tmp_path: Path, jobs: int, number: signal.Signals, to: Callable[[int, int], None]
) -> None:
    arguments = (
        "hydra.sweeper.n_trials=3",
        f"hydra.sweeper.n_jobs={jobs}",
        "hydra.sweep.dir=sweep",
    )
    first = start(*arguments)
    run_dir = wait_for_checkpoint(tmp_path / "sweep")
    to(first.pid, number)
    said, _ = first.communicate(timeout=60)
    if number == signal.SIGINT:
        assert first.returncode == 130
        assert "To resume: " in said
        assert "Traceback" not in said
    second = start(*arguments)
    said, _ = second.communicate(timeout=300)
    assert second.returncode == 0, said
    found = study(tmp_path / "sweep")
    complete = [trial for trial in found.trials if trial.state is TrialState.COMPLETE]
    assert len(complete) == 3
    again = [trial for trial in complete if "retry_of" in trial.user_attrs]
    assert again
    assert {number for trial in again for number in trial.user_attrs["retry_of"]} == replaced(found)
    # It went on exactly: an unbroken run of the same configuration ends with the same weights.
    (trial,) = [one for one in again if one.user_attrs["directory"] == str(run_dir)]
    assert "Resuming after step" in (run_dir / "log.txt").read_text()
    value = compose(["dm=cmnist", *trial.user_attrs["overrides"]]).run(tmp_path / "unbroken")
    assert value == trial.value
    left, right = (
        folder / "checkpoints" / "last.safetensors" for folder in (run_dir, tmp_path / "unbroken")
    )
    assert left.read_bytes() == right.read_bytes()
    # Every validation once, those before the interruption included.
    rows = (run_dir / "metrics.csv").read_text().count("\n") - 1
    assert len(trial.intermediate_values) == 8
    assert rows >= 8


def test_two_sweepers_share_the_trials_of_a_study(tmp_path: Path) -> None:
    shared = ("hydra.sweeper.storage=sqlite:///study.db", "hydra.sweeper.study_name=shared")
    both = [
        start("hydra.sweeper.n_trials=5", f"hydra.sweep.dir={name}", *shared, "training.epochs=12")
        for name in ("a", "b")
    ]
    for process in both:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    done = {name: len(list((tmp_path / name).glob("*/result.json"))) for name in ("a", "b")}
    assert sum(done.values()) == 5
    assert min(done.values()) >= 1
    results = [
        json.loads(path.read_text())["status"] for path in tmp_path.glob("[ab]/*/result.json")
    ]
    assert results == ["finished"] * 5
    opened = load("sqlite:///study.db", "shared")
    # The seed of the sampler is that of both, and yet none does the other's work again.
    assert len({trial.params["opt.lr"] for trial in opened.trials}) == 5
    close(opened)


def test_a_sweep_in_which_every_trial_is_killed_has_failed(tmp_path: Path) -> None:
    counts = ("hydra.sweeper.n_trials=1", "hydra.sweeper.n_jobs=2", "hydra.sweeper.retries=0")
    sweep = start(*counts, "hydra.sweep.dir=sweep")
    run_dir = wait_for_checkpoint(tmp_path / "sweep")
    process = json.loads((run_dir / "environment.json").read_text())["process"]
    os.kill(process, signal.SIGKILL)
    said, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == 1, said
    assert "given up: its process ended with SIGKILL" in said
    assert "1 of 1 trials failed, more than hydra.sweeper.max_failure_rate" in said


def test_a_trial_whose_process_is_killed_is_taken_up_by_the_same_sweep(tmp_path: Path) -> None:
    sweep = start("hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=2", "hydra.sweep.dir=sweep")
    run_dir = wait_for_checkpoint(tmp_path / "sweep")
    process = json.loads((run_dir / "environment.json").read_text())["process"]
    os.kill(process, signal.SIGKILL)
    said, _ = sweep.communicate(timeout=300)
    assert sweep.returncode == 0, said
    assert "died, retried: its process ended with SIGKILL" in said
    complete = [t for t in study(tmp_path / "sweep").trials if t.state is TrialState.COMPLETE]
    assert len(complete) == 2


def test_a_sweep_goes_on_when_its_storage_was_out_of_reach(tmp_path: Path) -> None:
    storage = "sqlite:///study.db?timeout=0.1"
    shared = (f"hydra.sweeper.storage='{storage}'", "hydra.sweeper.study_name=shared")
    sweep = start(*shared, "hydra.sweeper.n_trials=2", "hydra.sweep.dir=sweep")
    wait_for_checkpoint(tmp_path / "sweep")
    with contextlib.closing(sqlite3.connect("study.db", timeout=10)) as backup:
        backup.execute("BEGIN EXCLUSIVE")
        time.sleep(5)
    said, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == 0, said
    assert "The study's storage is unreachable" in said
    assert "The study's storage answers again" in said
    opened = load(storage, "shared")
    for trial in opened.trials:
        assert trial.state is TrialState.COMPLETE
        assert len(trial.intermediate_values) == 8
    close(opened)
