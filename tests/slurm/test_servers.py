"""Servers that fail say why, and none outlives the tests."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slurm import slurm
from slurm.conftest import require
from slurm.servers import ServerError, Servers, processes_of

pytestmark = pytest.mark.cluster


def test_what_is_not_installed_skips_a_test_but_fails_it_in_ci(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RUNWRIGHT_REQUIRE_CLUSTER", raising=False)
    reason = "nosuchd, nosuchpy: not installed; tests/install and requirements-dev.lock"
    with pytest.raises(pytest.skip.Exception, match=reason):
        require(["sh", "nosuchd"], ["os", "nosuchpy"])
    monkeypatch.setenv("RUNWRIGHT_REQUIRE_CLUSTER", "1")
    with pytest.raises(pytest.fail.Exception, match=reason):
        require(["sh", "nosuchd"], ["os", "nosuchpy"])


def test_a_server_that_ends_is_reported_with_the_end_of_its_log() -> None:
    require(["setpriv"])
    with Servers.open("test") as servers:
        servers.start("sh", "-c", "echo port 5 is taken >&2; exit 7")
        with pytest.raises(ServerError) as caught:
            servers.wait_until(lambda: False, "sh listens")
    assert str(caught.value) == "sh ended with status 7, before sh listens.\nsh:\n  port 5 is taken"
    assert not servers.folder.exists()


def test_a_server_that_never_listens_is_reported_and_ended() -> None:
    require(["setpriv"])
    with Servers.open("test") as servers:
        servers.start("sleep", "600", env={"FOLDER": str(servers.folder)})
        with pytest.raises(ServerError, match="Not within 0.1 seconds: sleep listens"):
            servers.wait_until(lambda: False, "sleep listens", timeout=0.1)
    assert not list(processes_of(servers.folder))


_START_A_JOB = """
import time
from slurm.slurm import running_slurm
with running_slurm() as slurm:
    job = slurm.sbatch("trap '' TERM; srun sleep 600")
    slurm.wait_for(job, "RUNNING")
    print(slurm.servers.folder, flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_ctrl_c_leaves_no_process_of_a_cluster_and_no_file() -> None:
    require(slurm.PROGRAMS)
    tests = str(Path(__file__).parent.parent)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", _START_A_JOB]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as program:
        assert program.stdout is not None
        folder = Path(program.stdout.readline().strip())
        running = list(processes_of(folder))
        program.send_signal(signal.SIGINT)
        program.wait(timeout=60)
    assert folder.name.startswith("runwright-slurm-")
    # slurmctld, slurmd, slurmdbd, two slurmstepd, the script and what it runs
    assert len(running) >= 7
    assert not list(processes_of(folder))
    assert not folder.exists()
