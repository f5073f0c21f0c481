"""Watching jobs with several tasks: it waits for none of them, and reports which one failed."""

import logging
import threading
from pathlib import Path

import cloudpickle
import pytest
import submitit

from runwright.errors import UserError
from runwright.slurm import watch
from runwright.slurm.batch_job import Outcome
from runwright.slurm.watch import Watch
from slurm.slurm import Slurm

pytestmark = pytest.mark.cluster


def job_of_two_tasks(number: str) -> "submitit.SlurmJob[Outcome]":
    return submitit.SlurmJob(folder=Path.cwd(), job_id=number, tasks=[0, 1])


def tell(job: "submitit.SlurmJob[Outcome]", task: int, error: Exception) -> None:
    """Write the result of a task that failed, as the task does."""
    told = cloudpickle.dumps(("success", Outcome.of_error(error)))
    job.task(task).paths.result_pickle.write_bytes(told)


LOST = RuntimeError("[gloo/transport/tcp/pair.cc:537] Read error: Connection reset by peer")


def test_the_error_of_a_job_is_that_of_the_task_that_failed_first(
    caplog: pytest.LogCaptureFixture,
) -> None:
    job = job_of_two_tasks("7")
    tell(job, 0, LOST)
    tell(job, 1, UserError("dm.batch_size=63 cannot be divided"))
    Path("7_1_log.err").touch()
    outcome = Watch({4: job}, 1).until_all_ended()[4]
    with pytest.raises(UserError, match=r"dm\.batch_size=63"):
        _ = outcome.returned.return_value
    assert "Job #4 (7): dm.batch_size=63 cannot be divided. Its log: " in caplog.text
    assert caplog.text.strip().endswith("7_1_log.err")


def test_a_lost_connection_is_told_where_nothing_else_went_wrong() -> None:
    job = job_of_two_tasks("7")
    tell(job, 0, LOST)
    tell(job, 1, LOST)
    outcome = Watch({0: job}, 1).until_all_ended()[0]
    assert "Connection reset by peer" in (outcome.error or "")


@pytest.mark.slow
def test_a_task_without_a_result_hides_no_other_job(
    slurm: Slurm, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SLURM_CONF", slurm.env["SLURM_CONF"])
    monkeypatch.setattr(watch, "_GRACE_SECONDS", 1.0)
    half, dead = slurm.sbatch("sleep 600"), slurm.sbatch("exit 3")
    jobs = [job_of_two_tasks(half), job_of_two_tasks(dead)]
    tell(jobs[0], 0, LOST)
    ended: dict[int, Outcome] = {}
    over_both = Watch(dict(enumerate(jobs)), 0.5)
    thread = threading.Thread(target=lambda: ended.update(over_both.until_all_ended()))
    thread.start()
    slurm.wait_for(dead, "FAILED")
    thread.join(timeout=10)
    assert thread.is_alive()
    dead_end = (
        f"Job #1 ({dead}): it ended without a result: FAILED, exit code 3:0. It wrote no log."
    )
    assert dead_end in caplog.text
    slurm.scancel(half)
    thread.join(timeout=30)
    assert ended[0].error == "it was cancelled before it started"
    assert logging.WARNING in {record.levelno for record in caplog.records}
