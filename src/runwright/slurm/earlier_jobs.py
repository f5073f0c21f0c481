"""What earlier commands have left of a multirun: runs that have finished, jobs in the queue."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from hydra.core.utils import filter_overrides
from omegaconf import DictConfig

from runwright.compose.overrides import swept_keys
from runwright.config import Config
from runwright.rundir.job_directories import JobDirectories
from runwright.rundir.overwritten import unmark
from runwright.slurm import queue, submissions
from runwright.slurm.batch_job import Outcome
from runwright.slurm.finished import finished_value, run_dir_of
from runwright.slurm.submissions import SubmittedJob

log = logging.getLogger(__name__)


@attrs.frozen
class EarlierJobs:
    """The jobs that earlier commands submitted or ran in the directory of a multirun.

    Attributes:
        sweep_dir: the directory.
        directories: which of them belongs to which job.
        swept: the keys that this command varies.
        queued: the jobs that wait or run, by where they do.
    """

    sweep_dir: Path
    directories: JobDirectories
    swept: frozenset[str]
    queued: Mapping[Path, SubmittedJob]

    @classmethod
    def of(cls, sweep_dir: Path, config: DictConfig) -> "EarlierJobs":
        """Look for them."""
        directories = JobDirectories(sweep_dir, submissions.overrides_in(sweep_dir))
        return cls(sweep_dir, directories, swept_keys(config), _in_queue(sweep_dir))

    def find(
        self, composed: DictConfig, config: Config, overrides: Sequence[str]
    ) -> Outcome | SubmittedJob | None:
        """What makes it needless to submit a job, which gets its directory by this.

        Returns:
            What its run came to, or the job in the queue that is the same; None if it is to be
            submitted.
        """
        number: int = composed.hydra.job.num
        run_dir = run_dir_of(composed)
        if run_dir is None:
            return None
        if self.directories and run_dir == self.sweep_dir / str(number):
            run_dir = self.directories.place(number, config, self.swept, overrides)
            if run_dir.name != str(number):
                composed.hydra.sweep.subdir = run_dir.name
                log.info("Job #%d of this command runs in %s.", number, run_dir)
        value = finished_value(run_dir, config)
        if value is not None:
            unmark(run_dir)
            return Outcome.of_value(value)
        job = self.queued.get(run_dir)
        if job is None or config.overwrite or _of_run(job.overrides) != _of_run(overrides):
            return None
        return job


def _in_queue(sweep_dir: Path) -> dict[Path, SubmittedJob]:
    known = submissions.recorded([sweep_dir]).get(sweep_dir, [])
    try:
        states = queue.in_queue([job.job for job in known])
    except queue.OutOfReachError:  # submitting will tell
        return {}
    return {job.run_dir: job for job in known if job.run_dir is not None and job.job in states}


def _of_run(overrides: Sequence[str]) -> frozenset[str]:
    """The overrides that decide what runs, not where and how."""
    return frozenset(filter_overrides(overrides))
