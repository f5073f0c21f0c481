"""Submitting an array of jobs to Slurm, and watching it."""

import datetime
import json
import logging
import re
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import cloudpickle
from hydra.core.utils import JobReturn, JobRuntime, JobStatus, filter_overrides
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from runwright import preflight
from runwright.compose.loader import StrictConfigLoader
from runwright.errors import RunError, UserError
from runwright.rundir.files import write_bytes
from runwright.rundir.provenance import code_version, environment
from runwright.slurm import queue
from runwright.slurm.job import Job, fill_cache
from runwright.slurm.launcher_options import SlurmConf

if TYPE_CHECKING:
    import submitit

log = logging.getLogger(__name__)

# How long a result may take to appear on a network file system after its job has ended.
_GRACE_SECONDS: Final = 10.0
_ARGUMENTS: Final = frozenset({"timeout_min", "mem_gb", "cpus_per_task", "gpus_per_node", "name"})
_ARGUMENTS_TOO: Final = frozenset({"tasks_per_node", "nodes", "stderr_to_stdout"})
_OURS: Final = frozenset(
    {"_target_", "submitit_folder", "python", "max_num_timeout", "detached", "poll_every"}
)
# What Gloo, NCCL and torch's store say of another process that is gone.
_LOST_CONNECTION: Final = re.compile(
    r"Connection (was )?(closed|reset|refused|likely closed)|Broken pipe|remote process exited"
)
# submitit changes the environment while it submits; slots of a sweep do so side by side.
_submitting = threading.Lock()


def launch(
    options: SlurmConf,
    job_overrides: Sequence[list[str]],
    first: int,
    *,
    hydra_context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
) -> list[JobReturn]:
    """Submit the jobs as one array and, unless detached, wait for all of them.

    A job that fails or is killed is reported at once, and the others go on.

    Raises:
        UserError: there is no Slurm here, it refuses the jobs, or some cannot be built.
    """
    _refuse_detached_sweep(options, config)
    sweep_dir = Path(str(config.hydra.sweep.dir)).resolve()
    sweep_dir.mkdir(parents=True, exist_ok=True)
    loader = hydra_context.config_loader
    assert isinstance(loader, StrictConfigLoader)
    # The same for all jobs, and larger than a job: written out once.
    shared = cloudpickle.dumps((hydra_context, task_function))
    code = code_version()
    jobs: list[Job] = []
    for number, overrides in enumerate(job_overrides, start=first):
        log.info("\t#%d : %s", number, " ".join(filter_overrides(overrides)))
        composed = loader.load_sweep_config(config, overrides)
        with open_dict(composed):
            composed.hydra.sweep.dir = str(sweep_dir)
            composed.hydra.job.num = number
            composed.hydra.job.id = f"job_id_for_{number}"
        fill_cache(composed)
        jobs.append(
            Job(
                composed=cloudpickle.dumps(composed),
                shared=shared,
                name=JobRuntime.instance().get("name"),
                argv=[str(Path(sys.argv[0]).resolve()), *sys.argv[1:]],
                code=code,
            )
        )
    preflight.check_jobs(loader.pending)
    submitted = _submit(options, jobs)
    arrays = {job.job_id.partition("_")[0] for job in submitted}
    _record(sweep_dir, submitted, job_overrides, first)
    log.info(
        "Submitted %d jobs as array %s; logs are in %s.",
        len(jobs),
        ", ".join(sorted(arrays)),
        submitted[0].paths.folder,
    )
    if options.detached:
        log.info("To see how they do: python -m runwright results %s", sweep_dir)
        return [_returned(None) for _ in submitted]
    try:
        return Watch(submitted, first, options.poll_every).until_all_ended()
    except KeyboardInterrupt:
        log.info(
            "The jobs go on. To see how they do: python -m runwright results %s\nTo end them: %s",
            sweep_dir,
            queue.cancel_hint(arrays),
        )
        raise


def _refuse_detached_sweep(options: SlurmConf, config: DictConfig) -> None:
    if options.detached and not config.hydra.sweeper._target_.endswith("BasicSweeper"):
        raise UserError(
            "hydra.launcher.detached=true: this sweeper has to wait for what its trials come to. "
            "Leave it out. When the sweep is interrupted its jobs go on, and the same command with "
            "the same hydra.sweep.dir continues it (with hydra/sweeper=runwright)."
        )


def _submit(options: SlurmConf, jobs: Sequence[Job]) -> "list[submitit.Job[JobReturn]]":
    import submitit
    from submitit.core.utils import FailedJobError

    if shutil.which("sbatch") is None:
        raise UserError(
            "hydra/launcher: there is no Slurm on this machine (no command `sbatch`). Submit from "
            "a machine of the cluster, or leave out hydra/launcher to run the jobs here."
        )
    executor = submitit.AutoExecutor(
        folder=options.submitit_folder,
        cluster="slurm",
        slurm_max_num_timeout=options.max_num_timeout,
        slurm_python=options.python,
    )
    plain = _ARGUMENTS | _ARGUMENTS_TOO
    chosen: dict[str, Any] = {
        name if name in plain else f"slurm_{name}": value
        for name, value in vars(options).items()
        if name not in _OURS and value is not None
    }
    # A task that dies ends the job, instead of leaving the others to wait for it.
    chosen["slurm_srun_args"] = ["--kill-on-bad-exit=1", *(options.srun_args or [])]
    with _submitting:
        executor.update_parameters(**chosen)
        try:
            with executor.batch():
                return [executor.submit(job) for job in jobs]
        except FailedJobError as error:
            raise UserError(f"hydra.launcher: Slurm refuses the jobs.\n{error}") from error


def _record(
    sweep_dir: Path,
    submitted: "Sequence[submitit.Job[JobReturn]]",
    job_overrides: Sequence[list[str]],
    first: int,
) -> None:
    """Write down what was submitted, and with which code, in a file for each submission.

    The slots of a sweep submit side by side, so no file is written by two of them.
    """
    jobs = [
        {"number": number, "job": job.job_id, "overrides": overrides}
        for number, (job, overrides) in enumerate(
            zip(submitted, job_overrides, strict=True), start=first
        )
    ]
    entry = {
        "submitted": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "argv": sys.argv,
        **environment(),
        "jobs": jobs,
    }
    path = sweep_dir / "submissions" / f"{submitted[0].job_id.partition('_')[0]}.json"
    try:
        write_bytes(path, (json.dumps(entry, indent=2) + "\n").encode())
    except OSError as error:  # the jobs are under way, and must be looked after all the same
        log.warning("What was submitted could not be recorded in %s: %s", path, error)


@attrs.define
class Watch:
    """Waits for jobs, and notices those that are gone without a result.

    Attributes:
        jobs: what was submitted.
        first: the number of the first.
        poll_every: seconds between looks at the queue.
    """

    jobs: "Sequence[submitit.Job[JobReturn]]"
    first: int
    poll_every: float

    def until_all_ended(self) -> list[JobReturn]:
        """Wait for every job; those that failed hold what is raised when they are looked at."""
        returned: dict[int, JobReturn] = {}
        gone_since: dict[int, float] = {}
        looked = time.monotonic()
        while len(returned) < len(self.jobs):
            for index, job in enumerate(self.jobs):
                if index not in returned and _has_told(job):
                    returned[index] = self._ended(index)
            if len(returned) == len(self.jobs):
                break
            now = time.monotonic()
            if now - looked >= self.poll_every:
                looked = now
                self._note_the_gone(returned, gone_since)
            for index, since in gone_since.items():
                if index not in returned and now - since > _GRACE_SECONDS:
                    returned[index] = self._ended(index)
            time.sleep(min(0.5, self.poll_every / 4))
        return [returned[index] for index in range(len(self.jobs))]

    def _note_the_gone(self, returned: dict[int, JobReturn], gone_since: dict[int, float]) -> None:
        ids = {index: job.job_id for index, job in enumerate(self.jobs) if index not in returned}
        waiting = queue.in_queue({job_id.partition("_")[0] for job_id in ids.values()})
        if waiting is None:
            return
        for index, job_id in ids.items():
            if job_id in waiting:
                gone_since.pop(index, None)
            else:
                gone_since.setdefault(index, time.monotonic())

    def _ended(self, index: int) -> JobReturn:
        """What a job came to; of several tasks, on which of them it failed."""
        job = self.jobs[index]
        tasks = [job.task(number) for number in range(job.num_tasks)]
        told = [(task, _told(task)) for task in tasks if _has_told(task)]
        failed = [one for one in told if one[1].status is JobStatus.FAILED]
        # When a task fails, the others lose the connection to it: that is not what went wrong.
        failed.sort(key=lambda one: _has_lost_connection(one[1]))
        is_whole = len(told) == len(tasks)
        if failed and (is_whole or not _has_lost_connection(failed[0][1])):
            task, returned = failed[0]
            log.warning("%s", self._message(index, _error_in(returned), task))
            return returned
        if is_whole:
            return told[0][1]
        what = f"it ended without a result: {queue.how_ended(job.job_id)}"
        message = self._message(index, what, tasks[0])
        log.warning("%s", message)
        return _returned(RunError(message))

    def _message(self, index: int, what: str, task: "submitit.Job[JobReturn]") -> str:
        who = f"Job #{self.first + index} ({self.jobs[index].job_id})"
        return f"{who}: {what.rstrip('.')}. Its log: {task.paths.stderr}"


def _has_told(job: "submitit.Job[JobReturn]") -> bool:
    """Whether there is a result of every task of a job."""
    tasks = (job.task(number) for number in range(job.num_tasks))
    return all(task.paths.result_pickle.exists() for task in tasks)


def _told(task: "submitit.Job[JobReturn]") -> JobReturn:
    """The result of a task, which is there."""
    try:
        return task.result()
    except Exception as error:  # noqa: BLE001  # whatever the task sent
        return _returned(RunError(_last_line_of_traceback(str(error))))


def _error_in(returned: JobReturn) -> str:
    error: Exception = returned._return_value  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the property prints
    return str(error) or type(error).__name__


def _has_lost_connection(returned: JobReturn) -> bool:
    return _LOST_CONNECTION.search(_error_in(returned)) is not None


def _last_line_of_traceback(text: str) -> str:
    """What was raised, from submitit's report, which sets the traceback between dashes."""
    parts = text.split("\n---")
    lines = (parts[1] if len(parts) > 1 else text).strip().splitlines()
    return lines[-1].strip() if lines else "it failed without a word"


def _returned(value: Exception | None) -> JobReturn:
    returned = JobReturn()
    returned.status = JobStatus.COMPLETED if value is None else JobStatus.FAILED
    returned.return_value = value
    return returned
