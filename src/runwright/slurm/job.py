"""A job on the cluster: runs what was composed when it was submitted."""

import contextlib
import functools
import logging
import os
import pickle
import signal
import sys
import time
from typing import Any, Final

import attrs
import cloudpickle
from hydra.core.utils import JobReturn, JobRuntime, JobStatus, run_job, setup_globals
from omegaconf import DictConfig, open_dict

from runwright.rundir.files import write_bytes
from runwright.rundir.provenance import code_version
from runwright.slurm import queue
from runwright.training.stop import REQUEUE

log = logging.getLogger(__name__)

_SECONDS_TO_REQUEUE: Final = 120


@attrs.frozen(kw_only=True)
class Job:
    """What submitit sends to the cluster and calls there.

    Attributes:
        composed: the whole configuration, Hydra's part included, pickled: a tenth of the size.
        shared: what Hydra hands to every job and what runs the application's part, pickled.
        name: the program's, as Hydra knows it.
        argv: the command line that submitted.
        code: the version of the code at the submission.
    """

    composed: bytes
    shared: bytes
    name: str
    argv: list[str]
    code: str | None

    def __call__(self) -> JobReturn:
        """Run the job; returns what Hydra's launchers return."""
        import submitit

        setup_globals()
        JobRuntime.instance().set("name", self.name)
        sys.argv = list(self.argv)
        hydra_context, task_function = pickle.loads(self.shared)
        composed: DictConfig = pickle.loads(self.composed)
        if (now := code_version()) != self.code:
            log.warning(
                "The code is not what it was when this job was submitted: %s then, %s now.",
                self.code,
                now,
            )
        environment = submitit.JobEnvironment()
        if environment.num_tasks > 1:  # as torchrun would say it
            submitit.helpers.TorchDistributedEnvironment().export(
                set_cuda_visible_devices=False, overwrite=True
            )
        with open_dict(composed.hydra.job):
            composed.hydra.job.id = environment.job_id
        if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):
            os.environ.setdefault("OMP_NUM_THREADS", cpus)  # not one thread a core of the machine
        result = environment.paths.result_pickle
        result.unlink(missing_ok=True)  # of a start before this one
        try:
            returned = run_job(
                hydra_context=hydra_context,
                task_function=functools.partial(task_function, is_preempted=queue.is_making_way),
                config=composed,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
        except SystemExit as end:
            if end.code == REQUEUE:
                # The checkpoint is written. submitit's own handler requeues the job, and ends it.
                if not queue.is_requeued():
                    signal.raise_signal(signal.SIGUSR2)
                # Only the first of several tasks does so; were the others to end, Slurm would end
                # the job before it is queued again.
                time.sleep(_SECONDS_TO_REQUEUE)
            raise
        if environment.num_tasks > 1 and returned.status is JobStatus.FAILED:
            # submitit would end with status 0, and Slurm not end the tasks that wait for this one.
            write_bytes(result, cloudpickle.dumps(("success", returned)))
            sys.exit(1)
        return returned

    def checkpoint(self) -> Any:
        """What to run when the job starts again: the same, which then resumes."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def fill_cache(node: Any) -> None:
    """Look at every value once, so that the time in `${now:…}` is that of the submission."""
    if not isinstance(node, DictConfig):
        return
    for key in node:
        with contextlib.suppress(Exception):  # what only a running job knows
            fill_cache(node[key])
