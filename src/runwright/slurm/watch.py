"""Watching submitted jobs: reports how each ended, and notices those that have disappeared."""

import logging
import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from runwright.errors import RunError
from runwright.slurm import _submitit, queue
from runwright.slurm.batch_job import Outcome

if TYPE_CHECKING:
    import submitit

log = logging.getLogger(__name__)

# How long a result may take to appear on a network file system after its job has ended.
_GRACE_SECONDS: Final = 10.0
# What Gloo, NCCL and torch's store say when another process has died.
_LOST_CONNECTION: Final = re.compile(
    r"Connection (was )?(closed|reset|refused|likely closed)|Broken pipe|remote process exited"
)


@attrs.define
class Watch:
    """Waits for jobs.

    Attributes:
        jobs: what was submitted, by the number of the job in the multirun.
        poll_every: seconds between looks at the queue.
    """

    jobs: "Mapping[int, submitit.Job[Outcome]]"
    poll_every: float
    _is_out_of_reach: bool = False

    def until_all_ended(self) -> dict[int, Outcome]:
        """Wait for every job; one that fails or disappears is reported at once."""
        outcomes: dict[int, Outcome] = {}
        gone_since: dict[int, float] = {}
        looked = time.monotonic()
        while True:
            for number, job in self.jobs.items():
                if number not in outcomes and all(map(_submitit.has_result, _tasks(job))):
                    outcomes[number] = self._ended(number)
            if len(outcomes) == len(self.jobs):
                return outcomes
            now = time.monotonic()
            if now - looked >= self.poll_every:
                looked = now
                self._note_missing(outcomes, gone_since)
            for number, since in gone_since.items():
                if number not in outcomes and now - since > _GRACE_SECONDS:
                    outcomes[number] = self._ended(number)
            time.sleep(min(0.5, self.poll_every / 4))

    def _note_missing(self, outcomes: Mapping[int, Outcome], gone_since: dict[int, float]) -> None:
        ids = {number: job.job_id for number, job in self.jobs.items() if number not in outcomes}
        try:
            waiting = queue.in_queue(ids.values())
        except queue.OutOfReachError as error:
            if not self._is_out_of_reach:
                log.warning("Slurm does not answer; waiting until it does. %s", error)
            self._is_out_of_reach = True
            return
        if self._is_out_of_reach:
            log.info("Slurm answers again.")
        self._is_out_of_reach = False
        for number, job_id in ids.items():
            if job_id in waiting:
                gone_since.pop(number, None)
            else:
                gone_since.setdefault(number, time.monotonic())

    def _ended(self, number: int) -> Outcome:
        """The outcome of a job; with several tasks, of the one that failed."""
        job = self.jobs[number]
        tasks = _tasks(job)
        told = [(task, _outcome(task)) for task in tasks if _submitit.has_result(task)]
        failed = [(task, outcome) for task, outcome in told if outcome.error is not None]
        # When a task fails, the others lose the connection to it: that is not what went wrong.
        failed.sort(key=lambda one: _has_lost_connection(one[1]))
        is_whole = len(told) == len(tasks)
        if failed and (is_whole or not _has_lost_connection(failed[0][1])):
            task, outcome = failed[0]
        elif is_whole:
            return told[0][1]
        else:
            task, outcome = tasks[0], Outcome.of_error(RunError(_how_ended(job, tasks[0])))
        path = _submitit.log_of(task)
        where = "It wrote no log." if path is None else f"Its log: {path}"
        why = (outcome.error or "").rstrip(".")
        log.warning("Job #%d (%s): %s. %s", number, job.job_id, why, where)
        return outcome


def _tasks(job: "submitit.Job[Outcome]") -> "Sequence[submitit.Job[Outcome]]":
    return [job.task(number) for number in range(job.num_tasks)]


def _outcome(task: "submitit.Job[Any]") -> Outcome:
    """The result of a task that has one."""
    try:
        return task.result()
    except Exception as error:  # noqa: BLE001  # whatever the task sent
        return Outcome.of_error(RunError(_submitit.raised_in(error)))


def _how_ended(job: "submitit.Job[Any]", task: "submitit.Job[Any]") -> str:
    """How a job without a result ended."""
    try:
        state = queue.ended([job.job_id]).get(job.job_id, "it has gone from the queue")
    except queue.OutOfReachError as error:
        state = str(error)
    if state == "CANCELLED" and _submitit.log_of(task) is None:
        return "it was cancelled before it started"
    return f"it ended without a result: {state}"


def _has_lost_connection(outcome: Outcome) -> bool:
    return _LOST_CONNECTION.search(outcome.error or "") is not None
