"""A job on the cluster: runs what was composed when it was submitted."""

import contextlib
import copy
import os
import signal
import sys
import time
from typing import Any, Final

import attrs
from hydra.core.utils import JobReturn, JobRuntime, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from runwright.signals import REQUEUE

_SECONDS_TO_REQUEUE: Final = 120


@attrs.frozen(kw_only=True)
class Job:
    """What submitit sends to the cluster and calls there.

    Attributes:
        composed: the whole configuration, Hydra's part included.
        hydra_context: what Hydra hands to every job.
        task_function: runs the application's part.
        name: the program's, as Hydra knows it.
        argv: the command line that submitted.
    """

    composed: DictConfig
    hydra_context: HydraContext
    task_function: TaskFunction
    name: str
    argv: list[str]

    def __call__(self) -> JobReturn:
        """Run the job; returns what Hydra's launchers return."""
        import submitit

        setup_globals()
        JobRuntime.instance().set("name", self.name)
        sys.argv = list(self.argv)
        environment = submitit.JobEnvironment()
        if environment.num_tasks > 1:  # as torchrun would say it
            submitit.helpers.TorchDistributedEnvironment().export(
                set_cuda_visible_devices=False, overwrite=True
            )
        composed = copy.deepcopy(self.composed)  # what is queued again is as it was submitted
        with open_dict(composed.hydra.job):
            composed.hydra.job.id = environment.job_id
        if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):
            os.environ.setdefault("OMP_NUM_THREADS", cpus)  # not one thread a core of the machine
        try:
            return run_job(
                hydra_context=self.hydra_context,
                task_function=self.task_function,
                config=composed,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
        except SystemExit as end:
            if end.code == REQUEUE:
                # The checkpoint is written. submitit's own handler requeues the job, and ends it.
                signal.raise_signal(signal.SIGUSR2)
                # Only the first of several tasks does so; were the others to end, Slurm would end
                # the job before it is queued again.
                time.sleep(_SECONDS_TO_REQUEUE)
            raise

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
