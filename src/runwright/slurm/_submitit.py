"""The one place that knows submitit's private parts.

If `tests/slurm/test_submitit.py` fails after an update of submitit, this is the file to adapt:
each function says what it relies on.
"""

import contextlib
import io
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeAlias

import cloudpickle
import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError

from runwright.storage.atomic_files import write_bytes

# submitit changes the environment while it submits; the slots of a sweep submit in parallel.
_submitting: Final = threading.Lock()

SignalHandler: TypeAlias = Callable[[int, FrameType | None], Any] | int | None
"""What `signal.getsignal` returns."""


class SubmissionError(Exception):
    """sbatch did not accept the jobs; the text is its error."""


class NotRequeuedError(Exception):
    """A job cannot run again.

    Attributes:
        is_used_up: whether it has used up its time limits, as opposed to Slurm refusing.
    """

    def __init__(self, why: str, *, is_used_up: bool = False) -> None:
        self.is_used_up = is_used_up
        super().__init__(why)


def submit_together(
    jobs: Sequence[Any], *, folder: str, parameters: Mapping[str, Any], **of_executor: Any
) -> "list[submitit.Job[Any]]":
    """Submit jobs as one array.

    submitit raises sbatch's error, and prints it as well.

    Args:
        jobs: what to call.
        folder: where submitit's files go, with `%j` for the job.
        parameters: what `submitit.AutoExecutor.update_parameters` takes.
        of_executor: what `submitit.AutoExecutor` takes.

    Raises:
        SubmissionError: sbatch did not accept them.
    """
    executor = submitit.AutoExecutor(folder=folder, cluster="slurm", **of_executor)
    printed, said = io.StringIO(), ""
    with _submitting:
        executor.update_parameters(**parameters)
        try:
            with contextlib.redirect_stderr(printed), executor.batch():
                return [executor.submit(job) for job in jobs]
        except (FailedJobError, FailedSubmissionError) as error:
            said = str(error)
            raise SubmissionError(said.strip()) from error
        finally:
            sys.stderr.write(printed.getvalue().replace(f"{said}\n", ""))


def requeue(handler: SignalHandler) -> None:
    """Let submitit's handler of SIGUSR2, which counts the time limits, requeue this job.

    In the first of several tasks this ends the program; in the others it does nothing.

    Raises:
        NotRequeuedError: the job has used up its time limits, or Slurm refuses.
    """
    assert callable(handler)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm may send another
    try:
        handler(signal.SIGUSR2, None)
    except UncompletedJobError as error:
        raise NotRequeuedError(str(error), is_used_up=True) from None
    except subprocess.SubprocessError as error:
        raise NotRequeuedError(str(error)) from None


def write_result(environment: submitit.JobEnvironment, result: Any) -> None:
    """Write the result of this task as submitit does after a call that returns."""
    write_bytes(environment.paths.result_pickle, cloudpickle.dumps(("success", result)))


def forget_result(environment: submitit.JobEnvironment) -> None:
    """Remove the result of an earlier start of this task."""
    environment.paths.result_pickle.unlink(missing_ok=True)


def has_result(task: "submitit.Job[Any]") -> bool:
    """Whether there is a result of a task."""
    return task.paths.result_pickle.exists()


def log_of(task: "submitit.Job[Any]") -> Path | None:
    """Where the output of a task is, preferably its errors; None if it has written none."""
    return next((path for path in (task.paths.stderr, task.paths.stdout) if path.exists()), None)


def raised_in(error: Exception) -> str:
    """The error raised in a job, from submitit's report, which has the traceback between dashes."""
    parts = str(error).split("\n---")
    lines = (parts[1] if len(parts) > 1 else str(error)).strip().splitlines()
    return lines[-1].strip() if lines else "it failed without a message"
