"""The one place that knows what submitit does behind its public names.

When `tests/slurm/test_submitit.py` fails after an update of submitit, it is this file that has to
follow: each function says what it takes for granted.
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

from runwright.rundir.files import write_bytes

# submitit changes the environment while it submits; slots of a sweep do so side by side.
_submitting: Final = threading.Lock()

SignalHandler: TypeAlias = Callable[[int, FrameType | None], Any] | int | None
"""What `signal.getsignal` returns."""


class SubmissionError(Exception):
    """sbatch did not take the jobs; the text is what it said."""


class NotRequeuedError(Exception):
    """A job cannot run again.

    Attributes:
        is_used_up: whether it is for the number of its time limits, and not Slurm that refuses.
    """

    def __init__(self, why: str, *, is_used_up: bool = False) -> None:
        self.is_used_up = is_used_up
        super().__init__(why)


def submit_together(
    jobs: Sequence[Any], *, folder: str, parameters: Mapping[str, Any], **of_executor: Any
) -> "list[submitit.Job[Any]]":
    """Submit jobs as one array.

    submitit raises what sbatch said, and prints it as well.

    Args:
        jobs: what is to be called.
        folder: where submitit's files go, with `%j` for the job.
        parameters: what `submitit.AutoExecutor.update_parameters` takes.
        of_executor: what `submitit.AutoExecutor` takes.

    Raises:
        SubmissionError: sbatch did not take them.
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
    """Let submitit's handler of SIGUSR2, which counts the time limits, queue this job again.

    In the first of several tasks it ends the program; in the others it does nothing.

    Raises:
        NotRequeuedError: the job has used up its time limits, or Slurm refuses.
    """
    assert callable(handler)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm may send one more
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


def has_told(task: "submitit.Job[Any]") -> bool:
    """Whether there is a result of a task."""
    return task.paths.result_pickle.exists()


def log_of(task: "submitit.Job[Any]") -> Path | None:
    """Where the output of a task is, errors first; None when it has written none."""
    return next((path for path in (task.paths.stderr, task.paths.stdout) if path.exists()), None)


def raised_in(error: Exception) -> str:
    """What was raised in a job, from submitit's report, which sets the traceback between dashes."""
    parts = str(error).split("\n---")
    lines = (parts[1] if len(parts) > 1 else str(error)).strip().splitlines()
    return lines[-1].strip() if lines else "it failed without a message"
