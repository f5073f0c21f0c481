"""The watch over jobs of several tasks: it waits for none of them, and tells which one failed."""

import logging
import threading
from pathlib import Path

import cloudpickle
import pytest
import submitit
from hydra.core.utils import JobReturn, JobStatus

from runwright.errors import RunError, UserError
from runwright.slurm import launch
from runwright.slurm.launch import Watch
from slurm.slurm import Slurm

pytestmark = pytest.mark.cluster


def job_of_two_tasks(number: str) -> "submitit.SlurmJob[JobReturn]":
    return submitit.SlurmJob(folder=Path.cwd(), job_id=number, tasks=[0, 1])


def tell(job: "submitit.SlurmJob[JobReturn]", task: int, error: Exception) -> None:
    """Write the result of a task that failed, as the task does."""
    returned = JobReturn()
    returned.status, returned.return_value = JobStatus.FAILED, error
    job.task(task).paths.result_pickle.write_bytes(cloudpickle.dumps(("success", returned)))


LOST = RuntimeError("[gloo/transport/tcp/pair.cc:537] Read error: Connection reset by peer")


def test_the_error_of_a_job_is_that_of_the_task_that_failed_first(
    caplog: pytest.LogCaptureFixture,
) -> None:
    job = job_of_two_tasks("7")
    tell(job, 0, LOST)
    tell(job, 1, UserError("dm.batch_size=63 cannot be divided"))
    (returned,) = Watch([job], 0, 1).until_all_ended()
    with pytest.raises(UserError, match=r"dm\.batch_size=63"):
        _ = returned.return_value
    assert "Job #0 (7): dm.batch_size=63 cannot be divided. Its log: " in caplog.text
    assert caplog.text.strip().endswith("7_1_log.err")


def test_a_lost_connection_is_told_where_nothing_else_went_wrong() -> None:
    job = job_of_two_tasks("7")
    tell(job, 0, LOST)
    tell(job, 1, LOST)
    (returned,) = Watch([job], 0, 1).until_all_ended()
    with pytest.raises(RuntimeError, match="Connection reset by peer"):
        _ = returned.return_value


@pytest.mark.slow
def test_a_task_without_a_result_hides_no_other_job(
    slurm: Slurm, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SLURM_CONF", slurm.env["SLURM_CONF"])
    monkeypatch.setattr(launch, "_GRACE_SECONDS", 1.0)
    half, dead = slurm.sbatch("sleep 600"), slurm.sbatch("exit 3")
    jobs = [job_of_two_tasks(half), job_of_two_tasks(dead)]
    tell(jobs[0], 0, LOST)
    ended: list[JobReturn] = []
    watch = Watch(jobs, 0, 0.5)
    thread = threading.Thread(target=lambda: ended.extend(watch.until_all_ended()))
    thread.start()
    slurm.wait_for(dead, "FAILED")
    thread.join(timeout=10)
    assert thread.is_alive()
    assert f"Job #1 ({dead}): it ended without a result: FAILED, exit code 3:0" in caplog.text
    slurm.scancel(half)
    thread.join(timeout=30)
    with pytest.raises(RunError, match="it ended without a result: CANCELLED"):
        _ = ended[0].return_value
    assert logging.WARNING in {record.levelno for record in caplog.records}
