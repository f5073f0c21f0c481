"""Sweeps over Slurm and PostgreSQL: they prune, survive their own end, and share their work."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

from conftest import REPOSITORY, last_of_each
from programs import Program, start_python
from runwright.sweep.heartbeat import is_dead
from runwright.sweep.study import load
from slurm.slurm import Slurm
from sweep.conftest import close, study

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

OPTIONS = (
    *("model=fcn", "model.hidden_dim=64", "gpu=-1", "pictures=false", "training.epochs=4"),
    *("hydra/sweeper=runwright", "hydra.sweeper.sampler.seed=1", "hydra.sweeper.heartbeat=2"),
)
# About ten seconds of training, so that there is a middle to be interrupted in.
LONG = "training.epochs=50"
SLURM = ("hydra/launcher=slurm/cpu", "hydra.launcher.poll_every=1")


def start(*arguments: str, **env: str) -> Program:
    command = (REPOSITORY / "main.py", "--multirun", *last_of_each(*OPTIONS, *arguments))
    return start_python(*command, env=env, start_new_session=True)


def finish(process: Program) -> str:
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    return said


def test_a_sweep_over_slurm_prunes(slurm: Slurm) -> None:
    lrs = "hydra.sweeper.enqueue=[{opt.lr: 2e-3},{opt.lr: 3e-3},{opt.lr: 1e-8},{opt.lr: 2e-8}]"
    pruner = ("hydra.sweeper.pruner.n_startup_trials=2", "hydra.sweeper.n_jobs=2")
    counts = ("hydra.sweeper.n_trials=4", "hydra.sweep.dir=sweep", "opt.lr=interval(1e-8,3e-3)")
    said = finish(start(lrs, *pruner, *counts, *SLURM, **slurm.env))
    states = [trial.state for trial in study().trials]
    assert states[:2] == [TrialState.COMPLETE] * 2, said
    assert TrialState.PRUNED in states[2:], said
    assert TrialState.FAIL not in states, said


def test_a_launcher_that_is_refused_ends_the_sweep_which_can_go_on(slurm: Slurm) -> None:
    counts = ("hydra/sweeper/pruner=none", "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=2")
    space = (*counts, "hydra.sweep.dir=sweep", "opt.lr=interval(1e-3,3e-3)", *SLURM)
    refused = start(*space, "hydra.launcher.partition=nowhere", **slurm.env)
    said, _ = refused.communicate(timeout=120)
    assert refused.returncode == 2, said
    assert "invalid partition specified: nowhere" in said
    said = finish(start(*space, "model.dropout_prob=0.2", **slurm.env))
    assert "earlier trials of this study were run with" not in said  # none was
    complete = [trial for trial in study().trials if trial.state is TrialState.COMPLETE]
    assert len(complete) == 2


def test_hydras_own_launcher_for_slurm_does_too(slurm: Slurm) -> None:
    launcher = ("hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=10")
    counts = ("hydra/sweeper/pruner=none", "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=2")
    space = ("hydra.sweep.dir=sweep", "opt.lr=interval(1e-3,3e-3)")
    said = finish(start(*launcher, *counts, *space, **slurm.env))
    assert [trial.state for trial in study().trials] == [TrialState.COMPLETE] * 2, said


def test_a_sweep_whose_starter_is_killed_loses_no_trial(slurm: Slurm) -> None:
    arguments = (
        *("hydra/sweeper/pruner=none", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=2"),
        *("hydra.sweep.dir=sweep", "opt.lr=interval(1e-3,3e-3)", *SLURM),
    )
    first = start(*arguments, **slurm.env)
    deadline = time.monotonic() + 120
    while not list(Path("sweep").glob("*/metrics.csv")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    finish(start(*arguments, **slurm.env))
    # The jobs went on without it and told how they ended: nothing was run a second time, but for
    # what still waited in the queue.
    trials = study().trials
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    assert len(complete) == 3
    assert len({trial.user_attrs["directory"] for trial in complete}) == 3
    assert (
        "Resuming after step"
        not in Path(complete[0].user_attrs["directory"], "log.txt").read_text()
    )
    assert complete[0].number == 0


def test_a_trial_whose_job_is_killed_is_taken_up_again(slurm: Slurm) -> None:
    arguments = (
        *("hydra/sweeper/pruner=none", "hydra.sweeper.n_trials=1", LONG),
        *("hydra.sweep.dir=sweep", "opt.lr=interval(1e-3,3e-3)", "checkpoint.save_every=20"),
    )
    sweep = start(*arguments, *SLURM, **slurm.env)
    deadline = time.monotonic() + 120
    while not Path("sweep/0/checkpoints/last.state.safetensors").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process = json.loads(Path("sweep/0/environment.json").read_text())["process"]
    os.kill(process, signal.SIGKILL)
    said = finish(sweep)
    assert "died, retried" in said
    assert "Resuming after step" in Path("sweep/0/log.txt").read_text()


def test_a_trial_that_waits_in_the_queue_is_heartbeats_of_waiting(slurm: Slurm) -> None:
    arguments = (
        *("hydra/sweeper/pruner=none", "hydra.sweeper.n_trials=1", "hydra.sweep.dir=sweep"),
        *("opt.lr=interval(1e-3,3e-3)", "+hydra.launcher.additional_parameters.hold=true"),
    )
    sweep = start(*arguments, *SLURM, **slurm.env)
    deadline = time.monotonic() + 120
    while not slurm.squeue():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(8)  # another sweeper would take up a trial that is silent for 6 seconds
    (waiting,) = study().trials
    assert not is_dead(waiting, every=2)
    (job,) = slurm.squeue()
    subprocess.run(["scontrol", "release", job], env={**os.environ, **slurm.env}, check=True)
    finish(sweep)
    (trial,) = study().trials
    assert trial.state is TrialState.COMPLETE


def test_a_trial_that_makes_way_stays_the_same_trial(slurm: Slurm) -> None:
    arguments = (
        *("hydra/sweeper/pruner=none", "hydra.sweeper.n_trials=1", LONG),
        *("hydra.sweep.dir=sweep", "opt.lr=interval(1e-3,3e-3)"),
    )
    sweep = start(*arguments, *SLURM, **slurm.env)
    deadline = time.monotonic() + 120
    while not Path("sweep/0/metrics.csv").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    # Longer than a trial may be without signs of life, were nobody looking after it.
    slurm.sbatch("sleep 10", "--partition=high", "--exclusive")
    finish(sweep)
    assert "Resuming after step" in Path("sweep/0/log.txt").read_text()
    (trial,) = study().trials
    assert trial.state is TrialState.COMPLETE
    assert len(trial.intermediate_values) == 50


def test_two_sweepers_share_a_study_in_postgresql(postgresql: str) -> None:
    shared = (f"hydra.sweeper.storage={postgresql}", "hydra.sweeper.study_name=shared_by_two")
    counts = ("hydra/sweeper/pruner=none", "hydra.sweeper.n_trials=5", "opt.lr=interval(1e-3,3e-3)")
    longer = "training.epochs=12"
    both = [start(*shared, *counts, longer, f"hydra.sweep.dir={name}") for name in ("a", "b")]
    for process in both:
        finish(process)
    done = [len(list(Path(name).glob("*/result.json"))) for name in ("a", "b")]
    assert sum(done) == 5
    assert min(done) >= 1
    found = load(postgresql, "shared_by_two")
    complete = found.get_trials(states=(TrialState.COMPLETE,))
    assert len(complete) == 5
    assert len({trial.params["opt.lr"] for trial in complete}) == 5
    close(found)
