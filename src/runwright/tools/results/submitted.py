"""Jobs submitted to Slurm: those that have not started a run, and what Slurm knows of runs."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from runwright.comparison.formats import aligned
from runwright.comparison.run_record import RunRecord
from runwright.slurm import queue
from runwright.slurm.submissions import SubmittedJob

_WAITING: Final = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"})
# About a run that was interrupted, or of unknown state, Slurm may know more.
_OPEN: Final = frozenset({"interrupted", "killed", "unknown"})

_EXPECTED: Final = frozenset({"waiting", "starting", "cancelled"})
_NOT_KNOWN: Final = "waiting?"
_STATE_UNKNOWN: Final = "Whether they are still waiting is not known here: {}."


@attrs.frozen
class Submitted:
    """The jobs below some directories.

    Attributes:
        jobs: by sweep directory.
        states: by Slurm's name for a job: waiting, running, or its final state.
        why_unknown: why Slurm was not asked; None if it was.
    """

    jobs: Mapping[Path, Sequence[SubmittedJob]]
    states: Mapping[str, str]
    why_unknown: str | None

    def without_run(self, runs: Iterable[RunRecord]) -> dict[Path, list[SubmittedJob]]:
        """The jobs that have not started a run, by sweep directory."""
        paths = [run.path.resolve() for run in runs]
        # The runs of a trial with several seeds are below its directory.
        known = {path for run in paths for path in (run, *run.parents)}
        found = {
            sweep_dir: [job for job in jobs if _run_dir(sweep_dir, job) not in known]
            for sweep_dir, jobs in self.jobs.items()
        }
        return {sweep_dir: jobs for sweep_dir, jobs in found.items() if jobs}

    def with_slurm_states(self, runs: Iterable[RunRecord]) -> list[RunRecord]:
        """The runs, with Slurm's state where Slurm knows better."""
        job_of = {
            _run_dir(sweep_dir, job): job.job
            for sweep_dir, jobs in self.jobs.items()
            for job in jobs
        }
        known = ((run, self.states.get(job_of.get(run.path.resolve(), ""), "")) for run in runs)
        return [attrs.evolve(run, state=_better(run.state, state)) for run, state in known]

    def report(self, runs: Sequence[RunRecord]) -> list[str]:
        """What to report about jobs, besides the table of runs."""
        lines: list[str] = []
        without = self.without_run(runs)
        for sweep_dir, jobs in without.items():
            states = {job.job: self._state(job) for job in jobs}
            counts = ", ".join(f"{count} {one}" for one, count in Counter(states.values()).items())
            every = self.jobs[sweep_dir]
            lines.append(
                f"{sweep_dir}: {len(jobs)} of {len(every)} jobs have not started a run ({counts})."
            )
            differing = _differing(every)
            rows = [
                [f"  #{job.number}", job.job, states[job.job], differing[job.number]]
                for job in jobs
            ]
            lines.append(aligned(rows))
            lines += [
                f"Log of #{job.number}: {job.log}"
                for job in jobs
                if job.log is not None and job.log.exists() and states[job.job] not in _EXPECTED
            ]
        if without and self.why_unknown is not None:
            lines.append(_STATE_UNKNOWN.format(self.why_unknown))
        return [*lines, *self._other_code(runs)]

    def _other_code(self, runs: Iterable[RunRecord]) -> list[str]:
        """Which jobs ran with other code than when they were submitted."""
        submitted = {job.job: job.code for jobs in self.jobs.values() for job in jobs}
        changed = [
            f"  {run.path}: {submitted[run.job]} then, {run.code} when it ran"
            for run in runs
            if run.job is not None
            and submitted.get(run.job) is not None
            and run.code not in (None, submitted[run.job])
        ]
        if not changed:
            return []
        of_all = f"{len(changed)} of {len(submitted)} jobs"
        return [f"The code was changed while {of_all} waited in the queue:", *changed]

    def _state(self, job: SubmittedJob) -> str:
        """The state of a job that has not started a run."""
        if self.why_unknown is not None:
            return _NOT_KNOWN
        state = self.states.get(job.job)
        words = {None: "never started", "CANCELLED": "cancelled", "running": "starting"}
        return words.get(state, state or "")


def ask(jobs: Mapping[Path, Sequence[SubmittedJob]], runs: Iterable[RunRecord]) -> Submitted:
    """Ask Slurm, if there is one, for the states of jobs whose runs have no recorded end."""
    ended = {run.path.resolve() for run in runs if run.state not in {*_OPEN, "running"}}
    ids = [
        job.job
        for sweep_dir, of_sweep in jobs.items()
        for job in of_sweep
        if _run_dir(sweep_dir, job) not in ended
    ]
    if not ids:
        return Submitted(jobs, {}, None)
    if not queue.is_available():
        return Submitted(jobs, {}, "there is no Slurm on this machine")
    try:
        queued = queue.in_queue(ids)
        states = {job: "waiting" if s in _WAITING else "running" for job, s in queued.items()}
        states |= queue.ended([job for job in ids if job not in states])
    except queue.OutOfReachError as error:
        return Submitted(jobs, {}, f"Slurm does not answer ({error})")
    return Submitted(jobs, states, None)


def _differing(jobs: Sequence[SubmittedJob]) -> dict[int, str]:
    """The part of each job's command line that is not the same in all."""
    common = set(jobs[0].overrides).intersection(*(job.overrides for job in jobs[1:]))
    same = common if len(jobs) > 1 else set[str]()
    return {job.number: " ".join(o for o in job.overrides if o not in same) for job in jobs}


def _better(state: str, by_slurm: str) -> str:
    """The state of a run, from its own record and Slurm's."""
    if state in _OPEN and by_slurm in ("waiting", "running"):
        return by_slurm
    if state == "unknown" and by_slurm:
        return "cancelled" if by_slurm == "CANCELLED" else "killed"
    return state


def _run_dir(sweep_dir: Path, job: SubmittedJob) -> Path:
    return (job.run_dir or sweep_dir / str(job.number)).resolve()
