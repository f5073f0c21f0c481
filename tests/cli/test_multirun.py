"""`main.py --multirun`: which jobs there are, and what stops them before the first."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import REPOSITORY, SMALL, TINY, Run, last_of_each, run_dirs
from programs import run_shown, start_python
from runwright.rundir.result import read_result


def test_multirun_makes_a_job_for_every_combination(run_main: Run, tmp_path: Path) -> None:
    done = run_main(
        "--multirun", "seed=42,43", "model.num_hidden=1,2,3", "gpu=0", *TINY, "training.max_steps=2"
    )
    assert done.returncode == 0, done.stderr
    assert "[HYDRA] Launching 6 jobs locally" in done.stdout
    assert "\t#0 : seed=42 model.num_hidden=1" in done.stdout
    assert done.stdout.count("Model architecture:") == 6
    assert done.stdout.count("Starting a run with seed 43 and GPU 0.") == 3
    assert len(run_dirs(tmp_path, "multirun")) == 6


def test_a_typo_in_a_multirun_stops_it_before_the_first_job(run_main: Run, tmp_path: Path) -> None:
    done = run_main("--multirun", "model=fcn,cnn", "model.hidden_dim=10", "gpu=-1")
    assert done.returncode == 2
    assert "SimpleCNNFactory has no 'hidden_dim'" in done.stderr
    assert "Starting a run" not in done.stdout
    assert not (tmp_path / "multirun").exists()


def test_jobs_that_cannot_be_built_stop_a_multirun_before_the_first(
    run_main: Run, tmp_path: Path
) -> None:
    done = run_main("--multirun", "model.kernel_size=3,30", "opt.optimizer_cls=SGD,Adan", *SMALL)
    assert done.returncode == 2
    assert done.stderr.startswith("The configuration has 2 mistakes:")
    assert "torch.optim has no 'Adan'" in done.stderr
    assert "(and 1 like it)" in done.stderr
    assert "model.kernel_size=30 and model.pool_stride=2 leave no pixels" in done.stderr
    assert "Starting a run" not in done.stdout
    assert not (tmp_path / "multirun").exists()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("seed=range(0,1,1e-9)", "a multirun of 1,000,000,000 jobs; at most 100,000 are composed."),
        ("seed=shuffle(range(1,1e9))", "a multirun of 999,999,999 jobs; at most 100,000 are"),
        ("seed=range(1,4,0)", "the step of a range must not be 0."),
    ],
)
def test_a_grid_that_never_ends_is_refused_at_once(run_main: Run, typed: str, said: str) -> None:
    done = run_main("--multirun", typed, "opt.lr=-1", *SMALL, timeout=60)
    assert done.returncode == 2
    assert f"{typed}: {said}" in done.stderr
    assert "opt.lr must be > 0" in done.stderr


def test_a_pipe_where_an_earlier_job_would_have_its_record_is_not_waited_for(
    run_main: Run, tmp_path: Path
) -> None:
    (tmp_path / "sweep" / "0").mkdir(parents=True)
    os.mkfifo(tmp_path / "sweep" / "0" / "config.yaml")
    done = run_main("--multirun", "hydra.sweep.dir=sweep", "seed=1", *SMALL, timeout=60)
    assert done.returncode == 2
    assert "sweep/0/config.yaml is a pipe. A run writes there: move it out" in done.stderr


def test_a_refused_multirun_leaves_what_was_there(run_main: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    place = ("hydra.sweep.dir=mine/sweep", "seed=1,2", "opt.lr=-1")
    assert run_main("--multirun", *place, *SMALL).returncode == 2
    assert not list((tmp_path / "mine").iterdir())
    (tmp_path / "mine" / "sweep").mkdir()
    assert run_main("--multirun", *place, *SMALL).returncode == 2
    assert (tmp_path / "mine" / "sweep").is_dir()


def test_a_measure_that_only_some_jobs_misspell_stops_a_multirun_before_the_first(
    run_main: Run, tmp_path: Path
) -> None:
    done = run_main("--multirun", "training.monitor=val_loss,val_lss", *SMALL)
    assert done.returncode == 2
    assert "training.monitor=val_lss: no validation" in done.stderr
    assert "Starting a run" not in done.stdout
    assert not run_dirs(tmp_path, "multirun")


@pytest.mark.parametrize("options", [(), ("hydra/sweeper=runwright",)], ids=["basic", "search"])
@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_sweep_directory_that_cannot_be_made_is_the_users_mistake(
    run_main: Run, tmp_path: Path, place: str, options: tuple[str, ...]
) -> None:
    (tmp_path / "file").write_text("in the way")
    done = run_main(
        "--multirun", "training.ema_decay=0.9,0.99", *SMALL, f"hydra.sweep.dir={place}", *options
    )
    assert done.returncode == 2
    said = f"hydra.sweep.dir={place}: {tmp_path}/file is a file. Use another directory.\n"
    assert done.stderr == said


def test_a_multirun_goes_on_when_the_directory_of_a_job_can_be_made(
    run_main: Run, tmp_path: Path
) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "1").write_text("in the way")
    options = ("seed=1,2,3", *SMALL, "training.max_steps=2", "hydra.sweep.dir=sweep")
    done = run_main("--multirun", *options)
    assert done.returncode == 1
    said, command = done.stderr.split(" resume with: ")
    expected = "sweep/1: File exists. The remaining jobs were not launched. Once that is fixed,"
    assert said == expected
    (tmp_path / "sweep" / "1").unlink()
    again = run_shown(command, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("This run has finished.") == 1
    assert len(list(tmp_path.glob("sweep/*/result.json"))) == 3


def test_an_interrupted_multirun_says_how_to_go_on(tmp_path: Path, repository: Path) -> None:
    options = last_of_each("seed=1,2", *SMALL, "training.epochs=500", "hydra.sweep.dir=sweep")
    process = start_python(repository / "main.py", "--multirun", *options, cwd=tmp_path)
    assert process.stdout is not None
    assert any("val_loss" in line for line in process.stdout)  # of the first job
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "A checkpoint was saved." in said
    assert "To resume all jobs: python " in said
    assert "hydra.sweep.dir=sweep\nInterrupted.\n" in said


def test_an_interrupted_search_that_is_lost_says_so(tmp_path: Path, repository: Path) -> None:
    search = ("hydra/sweeper=optuna", "hydra.sweeper.n_jobs=1", "seed=1,2", "hydra.sweep.dir=sweep")
    options = last_of_each(*search, *SMALL, "training.epochs=500")
    process = start_python(repository / "main.py", "--multirun", *options, cwd=tmp_path)
    assert process.stdout is not None
    assert any("val_loss" in line for line in process.stdout)  # of the first trial
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "A checkpoint was saved." in said
    assert "The search itself cannot be resumed: hydra/sweeper=optuna has kept its study in" in said


def test_a_job_that_fails_does_not_stop_the_others(run_main: Run, tmp_path: Path) -> None:
    lr = next(one for one in SMALL if one.startswith("opt.lr="))
    others = [one for one in SMALL if one != lr]
    done = run_main("--multirun", f"{lr.replace('=', '=1e38,')}", "opt.schedule=constant", *others)
    assert done.returncode == 1
    assert "Job #0 failed: The training loss is nan at step 2" in done.stderr
    assert len(list(tmp_path.glob("multirun/*/*/1/checkpoints/last.safetensors"))) == 1


def test_the_stock_optuna_sweeper_runs_the_seeds_search_space(
    run_main: Run, tmp_path: Path
) -> None:
    done = run_main(
        "--multirun", "hydra/sweeper=fcn_params", "hydra.sweeper.n_trials=4", "gpu=-1", *TINY
    )
    assert done.returncode == 0, done.stderr
    (results,) = tmp_path.glob("multirun/*/*/optimization_results.yaml")
    text = results.read_text()
    assert all(key in text for key in ("opt.lr", "model.num_hidden", "model.dropout_prob"))
    best = float(re.findall(r"best_value: (\S+)", text)[0])
    values = [float(v) for v in re.findall(r"Best val_accuracy: (\S+),", done.stdout)]
    assert len(values) == 4
    assert best == max(values)


def test_what_hydra_sends_to_other_processes_can_be_pickled() -> None:
    import cloudpickle
    from hydra.core.singleton import Singleton

    from runwright import compose

    compose(["dm=cmnist", "model=cnn"])
    state = cloudpickle.loads(cloudpickle.dumps(Singleton.get_state()))
    assert state


@pytest.mark.parametrize("stops", [False, True])
def test_a_job_that_fails_stops_the_others_on_request(
    run_main: Run, tmp_path: Path, stops: bool
) -> None:
    option = f"hydra.launcher.stop_at_failure={str(stops).lower()}"
    done = run_main(
        *("--multirun", option, "opt.lr=0.01,1e38,0.02", "opt.schedule=constant"),
        *("hydra.sweep.dir=jobs", *TINY, "training.max_steps=20"),
    )
    assert done.returncode == 1
    assert "Job #1 failed: The training loss is" in done.stderr
    assert (tmp_path / "jobs" / "2").exists() is not stops
    said = "The jobs after it are not launched. To resume all jobs: "
    assert (said in done.stderr) is stops
    # What was measured is shown in either case.
    table = done.stdout[done.stdout.index("\nopt.lr  val_accuracy") :].splitlines()
    assert len([line for line in table if " finished " in line]) == 2 - stops
    assert len([line for line in table if " failed " in line]) == 1


def test_a_table_that_nobody_reads_is_no_fault_of_the_directory(tmp_path: Path) -> None:
    options = [*TINY, "gpu=-1", "training.max_steps=2", "hydra.sweep.dir=jobs", "seed=1,2"]
    command = shlex.join([sys.executable, str(REPOSITORY / "main.py"), "--multirun", *options])
    done = subprocess.run(
        f"{command} | head -1", shell=True, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "Launching 2 jobs" in done.stdout
    assert done.stderr == ""
    assert all(read_result(tmp_path / "jobs" / name) is not None for name in "01")


SHORT = ("training.max_steps=1", "gpu=-1", "pictures=false")
TOGETHER = """# @package _global_
defaults:
  - override /model: {model}
opt:
  lr: {lr}
"""


def test_values_that_belong_together_are_swept_as_experiments(
    run_main: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "more" / "experiment"
    folder.mkdir(parents=True)
    for model, lr in (("fcn", 0.25), ("cnn", 0.5)):
        (folder / f"tried_{model}.yaml").write_text(TOGETHER.format(model=model, lr=lr))
    done = run_main("-m", "--config-dir", "more", "+experiment=glob(tried_*)", "seed=1,2", *SHORT)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^(\w+) +(\S+) .* 2 finished", done.stdout, re.MULTILINE) in (
        [("fcn", "0.25"), ("cnn", "0.5")],
        [("cnn", "0.5"), ("fcn", "0.25")],
    )


@pytest.mark.parametrize("chosen", [(), ("hydra/sweeper=runwright",)], ids=["own", "both"])
def test_experiments_that_each_bring_a_search_are_told_what_to_do(
    run_main: Run, tmp_path: Path, chosen: tuple[str, ...]
) -> None:
    folder = tmp_path / "more" / "experiment"
    folder.mkdir(parents=True)
    for name, space in (("one", "opt.lr: 0.1,0.2"), ("other", "seed: 1,2")):
        (folder / f"{name}.yaml").write_text(
            "# @package _global_\ndefaults:\n  - override /hydra/sweeper: runwright\n"
            f"hydra:\n  sweeper:\n    params:\n      {space}\n"
        )
    done = run_main("-m", "--config-dir", "more", "+experiment=one,other", *chosen, *TINY)
    assert done.returncode == 2
    assert "hydra/sweeper: a multirun has one for all of its jobs" in done.stderr
    assert not run_dirs(tmp_path, "multirun")
    if not chosen:  # each alone has the search that it brings
        done = run_main(
            *("-m", "--config-dir", "more", "+experiment=other", "hydra.sweeper.n_trials=2", *SHORT)
        )
        assert done.returncode == 0, done.stderr
        assert len(run_dirs(tmp_path, "multirun")) == 2
