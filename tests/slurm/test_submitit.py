"""What `slurm/_submitit.py` assumes about submitit.

When one of these fails, submitit has changed behind its public names: look up in its source what
has taken the place of what is missing, fix `slurm/_submitit.py`, and run `tests/slurm`.
"""

import inspect
import pickle
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import submitit
from submitit.core import job_environment, submission, utils

from runwright.slurm import _submitit

FOLDER = "%j"


@pytest.fixture
def environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Generator[submitit.JobEnvironment]:
    """That of a job on Slurm, without Slurm."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SUBMITIT_FOLDER", str(tmp_path / FOLDER))
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    before = signal.getsignal(signal.SIGUSR2)
    yield submitit.JobEnvironment()
    signal.signal(signal.SIGUSR2, before)


class Again:
    """What can run again."""

    def __call__(self) -> int:
        return 3

    def checkpoint(self) -> Any:
        return submitit.helpers.DelayedSubmission(self)


def handler(
    environment: submitit.JobEnvironment, timeouts_left: int, timeout_min: int = 1
) -> _submitit.SignalHandler:
    delayed = submitit.helpers.DelayedSubmission(Again())
    delayed.set_timeout(timeout_min, timeouts_left)
    environment.paths.folder.mkdir(exist_ok=True)
    of_job = job_environment.SignalHandler(environment, environment.paths, delayed)
    return of_job.checkpoint_and_try_requeue


def test_the_names_are_still_there() -> None:
    assert issubclass(utils.FailedJobError, utils.UncompletedJobError)
    assert issubclass(utils.FailedSubmissionError, RuntimeError)
    names = {"folder", "result_pickle", "stderr", "stdout", "submitted_pickle"}
    assert names <= set(dir(utils.JobPaths))
    handles = inspect.signature(job_environment.SignalHandler.checkpoint_and_try_requeue)
    assert list(handles.parameters) == ["self", "signum", "frame"]
    assert "_handle_signals(paths, delayed)" in inspect.getsource(submission.process_job)


def test_a_result_that_is_written_is_one_that_submitit_reads(
    environment: submitit.JobEnvironment, tmp_path: Path
) -> None:
    environment.paths.folder.mkdir()
    job: submitit.SlurmJob[int] = submitit.SlurmJob(tmp_path / FOLDER, "7")
    assert not _submitit.has_result(job)
    _submitit.write_result(environment, 5)
    assert _submitit.has_result(job)
    assert job.result() == 5
    _submitit.forget_result(environment)
    assert not _submitit.has_result(job)


def test_what_is_raised_in_a_job_is_found_in_the_report_of_it(
    environment: submitit.JobEnvironment, tmp_path: Path
) -> None:
    environment.paths.folder.mkdir()
    text = "Traceback (most recent call last):\n  File ...\nValueError: no"
    environment.paths.result_pickle.write_bytes(pickle.dumps(("error", text)))
    job: submitit.SlurmJob[int] = submitit.SlurmJob(tmp_path / FOLDER, "7")
    with pytest.raises(utils.FailedJobError) as report:
        job.result()
    assert _submitit.raised_in(report.value) == "ValueError: no"


def test_a_job_whose_time_limits_are_used_up_is_not_queued_again(
    environment: submitit.JobEnvironment,
) -> None:
    with pytest.raises(_submitit.NotRequeuedError) as refused:
        _submitit.requeue(handler(environment, timeouts_left=0))
    assert refused.value.is_used_up


def test_a_job_that_slurm_does_not_queue_again_says_so(
    environment: submitit.JobEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text("#!/bin/sh\nexit 1\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(scontrol.parent), prepend=":")
    with pytest.raises(_submitit.NotRequeuedError, match="scontrol") as refused:
        _submitit.requeue(handler(environment, timeouts_left=1))
    assert not refused.value.is_used_up
    scontrol.write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(SystemExit):
        _submitit.requeue(handler(environment, timeouts_left=1))


@pytest.mark.parametrize(
    ("private", "where"), [("submitit.core", ["_submitit.py"]), ("._return_value", [])]
)
def test_no_other_file_knows_of_it(private: str, where: list[str], repository: Path) -> None:
    sources = (repository / "src").rglob("*.py")
    assert [path.name for path in sources if private in path.read_text()] == where
