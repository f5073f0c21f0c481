"""What the program does as jobs of a real Slurm."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from conftest import SMALL, Run
from slurm.slurm import Slurm

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def wait_for_lines(path: Path, number: int = 1, timeout: float = 60) -> str:
    """The content of a file that a job writes, once it has a number of lines."""
    deadline = time.monotonic() + timeout
    while not path.exists() or (content := path.read_text()).count("\n") < number:
        assert time.monotonic() < deadline, f"{path}: no {number} lines in {timeout:g} seconds"
        time.sleep(0.1)
    return content


def test_a_multirun_is_one_array_of_jobs_that_all_finish(
    slurm: Slurm, run_main: Run, tmp_path: Path
) -> None:
    launcher = ("hydra/launcher=submitit_slurm", "hydra.launcher.mem_gb=2")
    arguments = ("--multirun", "seed=1,2", "hydra.sweep.dir=sweep", *launcher)
    done = run_main(*arguments, *SMALL, timeout=240, **slurm.env)
    assert done.returncode == 0, done.stderr
    jobs = (tmp_path / "sweep" / ".submitit").glob("[0-9]*_[0-9]*")
    first, second = sorted(path.name for path in jobs)
    array = first.partition("_")[0]
    assert (first, second) == (f"{array}_0", f"{array}_1")
    slurm.wait_for(array, "COMPLETED")
    assert slurm.sacct(array) == {first: "COMPLETED", second: "COMPLETED"}
    for number, task in enumerate((first, second)):
        run_dir = tmp_path / "sweep" / str(number)
        assert json.loads((run_dir / "result.json").read_text())["status"] == "finished"
        environment = json.loads((run_dir / "environment.json").read_text())["environment"]
        assert environment["SLURM_ARRAY_TASK_ID"] == task.partition("_")[2]
        assert environment["OMP_NUM_THREADS"] == os.environ["OMP_NUM_THREADS"]
        for name in ("config.yaml", "metrics.csv", "log.txt", "checkpoints/best.safetensors"):
            assert (run_dir / name).stat().st_size > 0, name


def test_the_accounts_show_within_a_minute_that_a_job_was_killed(
    slurm: Slurm, tmp_path: Path
) -> None:
    job = slurm.sbatch("srun bash -c 'echo $$ >process; sleep 600'")
    os.kill(int(wait_for_lines(tmp_path / "process")), signal.SIGKILL)
    slurm.wait_for(job, "FAILED", timeout=60)


def test_a_job_that_takes_more_memory_than_it_asked_for_is_killed(slurm: Slurm) -> None:
    too_much = "import time; x = b'x' * 500_000_000; time.sleep(600)"
    job = slurm.sbatch(f'srun python3 -c "{too_much}"', "--mem=200")
    slurm.wait_for(job, "FAILED", timeout=60)


def test_a_job_makes_way_for_a_higher_partition_and_starts_again(
    slurm: Slurm, tmp_path: Path
) -> None:
    script = """
        trap 'echo signal >>said' USR2
        echo start $SLURM_RESTART_COUNT >>said
        [ -z "$SLURM_RESTART_COUNT" ] || exit 0
        while true; do sleep 0.1; done
    """
    whole_node = f"--cpus-per-task={slurm.cpus}"
    low = slurm.sbatch(script, whole_node, "--signal=B:USR2@60")
    wait_for_lines(tmp_path / "said")
    high = slurm.sbatch("true", whole_node, "--partition=high")
    slurm.wait_for(high, "COMPLETED")
    slurm.wait_for(low, "COMPLETED")
    assert (tmp_path / "said").read_text() == "start\nsignal\nstart 1\n"


def test_a_requeued_job_starts_again_and_a_cancelled_one_does_not(
    slurm: Slurm, tmp_path: Path
) -> None:
    job = slurm.sbatch("echo start $SLURM_RESTART_COUNT >>said; sleep 600")
    wait_for_lines(tmp_path / "said")
    slurm.requeue(job)
    assert wait_for_lines(tmp_path / "said", 2) == "start\nstart 1\n"
    slurm.scancel(job)
    slurm.wait_for(job, "CANCELLED")
    assert "PENDING" not in slurm.squeue().values()
