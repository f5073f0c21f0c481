"""`main.py` as a person uses it: what it prints, and the status that it ends with."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import SMALL, TINY, Run, last_of_each, run_dirs
from programs import run_python, start_python

SEEDS_FCN = """\
Model architecture:
Sequential(
  (0): Flatten(start_dim=1, end_dim=-1)
  (1): Sequential(
    (0): Linear(in_features=2352, out_features=10, bias=True)
    (1): LayerNorm((10,), eps=1e-05, elementwise_affine=True, bias=True)
    (2): GELU(approximate='none')
  )
  (2): Linear(in_features=10, out_features=10, bias=True)
)
"""


def test_the_output_begins_with_seed_and_gpu_and_shows_the_architecture(run_main: Run) -> None:
    done = run_main("seed=123", "gpu=1", *TINY)
    assert done.stdout.startswith("Starting a run with seed 123 and GPU 1.\n")
    assert SEEDS_FCN in done.stdout
    import torch

    if not torch.cuda.is_available():
        assert done.stdout.count("No CUDA device was found") == 1


def test_the_cpu_can_be_chosen(run_main: Run) -> None:
    done = run_main("gpu=-1", *TINY)
    assert done.stdout.startswith("Starting a run with seed 42 on the CPU.\n")
    assert "CUDA" not in done.stdout


def test_a_mistake_ends_with_status_2_and_no_traceback(run_main: Run, tmp_path: Path) -> None:
    done = run_main("model=cnn", "model.hidden_dim=10")
    assert done.returncode == 2
    assert done.stderr.startswith("model.hidden_dim is not an option: SimpleCNNFactory has no")
    assert "Traceback" not in done.stderr + done.stdout
    assert not run_dirs(tmp_path)


def test_a_mistake_that_only_the_run_can_see_ends_with_status_2_too(run_main: Run) -> None:
    done = run_main("model=cnn", "dm.default_res=9")
    assert done.returncode == 2
    assert done.stderr.startswith("model.kernel_size=5 and model.pool_stride=2 leave no pixels")
    assert "Traceback" not in done.stderr + done.stdout


def test_a_failure_of_the_run_ends_with_status_1(run_main: Run) -> None:
    done = run_main(*last_of_each(*SMALL, "opt.lr=1e38", "opt.schedule=constant"))
    assert done.returncode == 1
    assert done.stderr.startswith("The training loss is nan at step 2")
    assert "Traceback" not in done.stderr


def test_the_greatest_seed_trains(run_main: Run) -> None:
    done = run_main(*SMALL, "training.max_steps=2", f"seed={2**64 - 1}")
    assert done.returncode == 0, done.stderr


def test_a_bug_keeps_its_traceback(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(
        "import toy_domain\n"
        "from runwright import app\n"
        "def broken(*_): raise AssertionError('a bug')\n"
        "toy_domain.SquaredDistance.losses = broken\n"
        "app.main(conf=None)\n"
    )
    sets = ("dm=toy_sets", "model=set_encoder", "gpu=-1")
    done = run_python(script, *sets, env={"PYTHONPATH": str(Path(__file__).parents[1])})
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "AssertionError: a bug" in done.stderr
    (log,) = tmp_path.rglob("log.txt")
    assert "AssertionError: a bug" in log.read_text()


# Who starts a program (torchrun, a sweep) hands on the Ctrl-C that a terminal sends to it as well.
@pytest.mark.parametrize(
    ("number", "status", "times"),
    [(signal.SIGINT, 130, 1), (signal.SIGINT, 130, 3), (signal.SIGTERM, 143, 1)],
)
def test_a_signal_ends_the_run_with_a_checkpoint_and_the_command_to_go_on(
    tmp_path: Path, repository: Path, number: signal.Signals, status: int, times: int
) -> None:
    options = last_of_each(*SMALL, "training.epochs=500", "hydra.run.dir=run")
    arguments = (repository / "main.py", *options)
    with start_python(*arguments) as process:
        assert process.stdout is not None
        said = ""
        while "val_loss" not in said:
            said += process.stdout.readline()
        for _ in range(times):
            process.send_signal(number)
            time.sleep(0.01)
        said += process.stdout.read()
        assert process.wait(timeout=60) == status, said
    assert "stopping after this step" in said
    assert "A checkpoint was saved. To resume: python" in said
    assert "hydra.run.dir=" in said
    assert (tmp_path / "run" / "checkpoints" / "last.safetensors").exists()


def test_what_can_be_known_before_is_reported_together_and_leaves_no_directory(
    run_main: Run, tmp_path: Path
) -> None:
    done = run_main(
        "model=cnn",
        "model.kernel_size=11",
        "model.pool_stride=3",
        "objective.class_weights=[1,2]",
        "hydra.run.dir=run",
    )
    assert done.returncode == 2
    assert done.stderr.startswith("The configuration has 2 mistakes:\n1. model.kernel_size=11")
    assert "class_weights has 2 weights for 10 classes" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_run_directory_that_cannot_be_made_is_the_users_mistake(
    run_main: Run, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    done = run_main(*SMALL, f"hydra.run.dir={place}")
    assert done.returncode == 2
    assert done.stderr.startswith("hydra.run.dir: ")
    assert "Traceback" not in done.stderr


def test_the_home_directory_may_be_written_as_in_a_shell(run_main: Run, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    done = run_main(*SMALL, "hydra.run.dir=~/run", "dm.root=~/data", HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert f"root: {home}/data\n" in (home / "run" / "config.yaml").read_text()
    assert not (tmp_path / "~").exists()
    many = run_main("-m", *TINY, "gpu=-1", "checkpoint.load=~/a,~/b", HOME=str(home))
    assert f"  {home}/a/checkpoints/best" in many.stderr  # of the first job


@pytest.mark.parametrize("deleted", ["~seed", "~model", "~dm"])
def test_what_is_deleted_must_be_given(run_main: Run, deleted: str) -> None:
    done = run_main(deleted, "model.hidden_dim=3")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_run_goes_on_when_nobody_reads_its_output(tmp_path: Path, repository: Path) -> None:
    main = str(repository / "main.py")
    command = " ".join([sys.executable, main, *SMALL, "training.max_steps=9"])
    for redirection in ("| head -1", ">&-", "2>&-"):
        run_dir = tmp_path / str(len(redirection))
        subprocess.run(
            f"{command} hydra.run.dir={run_dir} {redirection}",
            shell=True,
            cwd=tmp_path,
            check=False,
            capture_output=True,
        )
        assert '"finished"' in (run_dir / "result.json").read_text(), redirection
    many = f"{command} --multirun seed=1,2 hydra.sweep.dir=sweep | head -1"
    done = subprocess.run(many, shell=True, cwd=tmp_path, check=False, capture_output=True)
    assert '"finished"' in (tmp_path / "sweep" / "1" / "result.json").read_text()
    assert b"Traceback" not in done.stderr
