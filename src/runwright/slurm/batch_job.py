"""A job on the cluster: runs what was composed when it was submitted."""

import contextlib
import functools
import json
import logging
import os
import pickle
import re
import signal
import sys
import time
from collections.abc import Collection
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import attrs
import submitit
from hydra.core.utils import JobReturn, JobRuntime, JobStatus, run_job, setup_globals
from hydra.types import TaskFunction
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from runwright.caller import REQUEUE
from runwright.cli.commands_to_type import sweep_command
from runwright.compose._omegaconf import interpolations
from runwright.errors import RunError, told
from runwright.rundir.provenance import code_version
from runwright.slurm import _submitit, queue
from runwright.storage.atomic_files import write_bytes

log = logging.getLogger(__name__)

_SECONDS_TO_REQUEUE: Final = 120
_NESTED: Final = re.compile(r"\$\{[^}]*\$\{")


@attrs.frozen(kw_only=True)
class Outcome:
    """The outcome of a job.

    Attributes:
        returned: what Hydra's launchers return for it.
        error: what went wrong; None if nothing did.
    """

    returned: JobReturn
    error: str | None = None

    @classmethod
    def of_value(cls, value: float | None) -> "Outcome":
        """A job that returned this."""
        returned = JobReturn()
        returned.status, returned.return_value = JobStatus.COMPLETED, value
        return cls(returned=returned)

    @classmethod
    def of_error(cls, error: Exception) -> "Outcome":
        """A job that raised this."""
        returned = JobReturn()
        returned.status, returned.return_value = JobStatus.FAILED, error
        return cls(returned=returned, error=told(error))


@attrs.frozen(kw_only=True)
class BatchJob:
    """What submitit sends to the cluster and calls there.

    Attributes:
        composed: the whole configuration including Hydra's part, pickled: a tenth of the size.
        shared: what Hydra passes to every job and what runs the application's part, pickled.
        name: the program's, as Hydra knows it.
        argv: the command line that submitted it.
        code: the version of the code at the submission.
        max_num_timeout: how often the job may be requeued at its time limit.
    """

    composed: bytes
    shared: bytes
    name: str
    argv: list[str]
    code: str | None
    max_num_timeout: int

    def __call__(self) -> Outcome:
        """Run the job.

        Raises:
            SystemExit: it failed, or is requeued.
        """
        sys.argv = list(self.argv)
        environment = submitit.JobEnvironment()
        _submitit.forget_result(environment)  # from an earlier start
        requeue = signal.getsignal(signal.SIGUSR2)
        if environment.global_rank == 0:
            # Before and after a run handles it itself; submitit's own handler would raise an error
            # wherever the program is, which Hydra would take for one of the run.
            signal.signal(signal.SIGUSR2, _end_to_be_requeued)
        try:
            outcome = self._run(environment)
        except SystemExit as end:
            if end.code != REQUEUE:
                raise
            outcome = self._requeued(requeue)
        finally:
            signal.signal(signal.SIGUSR2, requeue)
        if outcome.error is None:
            return outcome
        # submitit would end with status 0: Slurm would take the job for successful, and not end the
        # tasks that wait for this one.
        _submitit.write_result(environment, outcome)
        sys.exit(1)

    def checkpoint(self) -> Any:
        """What to run when the job starts again: the same, which then resumes."""
        return submitit.helpers.DelayedSubmission(self)

    def _run(self, environment: submitit.JobEnvironment) -> Outcome:
        setup_globals()
        JobRuntime.instance().set("name", self.name)
        hydra_context, task_function = pickle.loads(self.shared)
        composed: DictConfig = pickle.loads(self.composed)
        if (now := code_version()) != self.code:
            log.warning(
                "The code has changed since this job was submitted: %s then, %s now.",
                self.code,
                now,
            )
        if environment.num_tasks > 1:  # as torchrun would set it
            submitit.helpers.TorchDistributedEnvironment().export(
                set_cuda_visible_devices=False, overwrite=True
            )
        with open_dict(composed.hydra.job):
            composed.hydra.job.id = environment.job_id
        if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):
            os.environ.setdefault("OMP_NUM_THREADS", cpus)  # not one thread per core of the machine
        task = _NotingErrors(functools.partial(task_function, is_preempted=queue.is_preempted))
        returned = run_job(
            hydra_context=hydra_context,
            task_function=task,
            config=composed,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        if returned.status is JobStatus.FAILED and task.error is None:  # in a callback of Hydra
            return Outcome(returned=returned, error="it failed outside of its run")
        return Outcome(returned=returned, error=task.error)

    def _requeued(self, requeue: _submitit.SignalHandler) -> Outcome:
        """Requeue the job, which does not return; returns what prevents it."""
        try:
            if not queue.is_requeued():
                _submitit.requeue(requeue)
        except _submitit.NotRequeuedError as error:
            return self._not_requeued(error)
        # Only the first of several tasks does so; if the others ended, Slurm would end the job
        # before it is requeued.
        time.sleep(_SECONDS_TO_REQUEUE)
        sys.exit(REQUEUE)

    def _not_requeued(self, error: _submitit.NotRequeuedError) -> Outcome:
        why = f"it was told to stop, and Slurm does not requeue it: {error}"
        if error.is_used_up:
            why = (
                "its time is up, and it has been requeued as often as "
                f"hydra.launcher.max_num_timeout={self.max_num_timeout} allows"
            )
        hydra = pickle.loads(self.composed).hydra
        line = f"Not requeued: {why}. To resume: {sweep_command(Path(hydra.sweep.dir))}"
        print(line, file=sys.stderr)
        with contextlib.suppress(OSError, ValueError, OmegaConfBaseException):
            _note_in_run_dir(Path(hydra.sweep.dir, hydra.sweep.subdir), line)
        return Outcome.of_error(RunError(why))


@attrs.define
class _NotingErrors:
    """A task function that keeps the text of its error: Hydra's return would print it."""

    task_function: TaskFunction
    error: str | None = None

    def __call__(self, composed: DictConfig) -> Any:
        try:
            return self.task_function(composed)
        except Exception as error:
            self.error = told(error)
            raise


def _note_in_run_dir(run_dir: Path, line: str) -> None:
    """Record in the run directory of an interrupted run why it does not resume by itself."""
    result = run_dir / "result.json"
    record = json.loads(result.read_text())
    if record["status"] == "interrupted":
        write_bytes(result, (json.dumps({**record, "error": line}, indent=2) + "\n").encode())
        with (run_dir / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def _end_to_be_requeued(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    sys.exit(REQUEUE)


def fill_cache(composed: DictConfig, filled: Collection[str] = ()) -> set[str]:
    """Call every resolver once, so that the time in `${now:…}` is that of the submission.

    Args:
        composed: what they stand in.
        filled: values whose resolvers were called, with the same cache.

    Returns:
        The values whose resolvers were called, but for those that depend on other options.
    """
    called: set[str] = set()
    for container, key, text in interpolations(composed):
        if ":" in text and text not in filled:  # it is not only the name of another option
            with contextlib.suppress(Exception):  # what only a running job knows
                container[key]
            called.add(text)
    return {text for text in called if not _NESTED.search(text)}
