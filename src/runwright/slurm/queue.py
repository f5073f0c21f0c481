"""What Slurm says about jobs: whether they are still in the queue, and how they ended."""

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

_SECONDS: Final = 30
ENDED: Final = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "TIMEOUT",
    }
)
"""Final states of a job; the queue's listing may still show them for a while."""

# Exit codes, as status:signal, of killed jobs; which one depends on what killed them.
_KILLED: Final = frozenset({"0:9", "9:0", "137:0"})


class OutOfReachError(Exception):
    """Slurm does not answer; the text says why."""


def is_available() -> bool:
    """Whether there is a Slurm on this machine to ask."""
    return shutil.which("squeue") is not None


def array_of(job: str) -> str:
    """The array of a job, `12` for `12_3`; the job itself if it is in none."""
    return job.partition("_")[0]


def in_queue(jobs: Iterable[str]) -> dict[str, str]:
    """Those of the jobs that are waiting, running, or will run again, with their states.

    Raises:
        OutOfReachError: Slurm does not answer.
    """
    arrays = {array_of(job) for job in jobs}
    if not arrays:
        return {}
    listed = ",".join(sorted(arrays))
    done = _run("squeue", "--noheader", "--array", "--jobs", listed, "--format", "%i %T")
    if done.returncode != 0:
        if "Invalid job id" in done.stderr:  # ended so long ago that Slurm has forgotten it
            return {}
        raise OutOfReachError(done.stderr.strip().rpartition("\n")[2])
    states = (line.split() for line in done.stdout.splitlines())
    return {job: state for job, state in states if state not in ENDED}


def ended(jobs: Collection[str]) -> dict[str, str]:
    """The final states of jobs that have left the queue, with what their exit code says.

    From Slurm's accounting or its memory; a job that neither knows is left out. A task that is
    cancelled while its array waits is unknown to both, or still listed as waiting.

    Raises:
        OutOfReachError: Slurm does not answer.
    """
    if not jobs:
        return {}
    arrays = ",".join(sorted({array_of(job) for job in jobs}))
    of_jobs = ("-X", "-j", arrays, "-o", "JobID,State,ExitCode")
    done = _run("sacct", "--noheader", "--parsable2", *of_jobs)
    accounts: dict[str, tuple[str, str]] = {}
    if done.returncode == 0:
        for line in done.stdout.splitlines():
            listed, state, code = line.split("|")
            accounts |= dict.fromkeys(_tasks(listed), (state.split()[0], code))  # "CANCELLED by 1"
    arrays_known = {array_of(job) for job in accounts}
    found: dict[str, str] = {}
    for job in jobs:
        state, code = accounts.get(job, ("PENDING", "0:0"))
        if state not in ENDED and (fields := _remembered(job)):
            state, code = fields.get("JobState", "gone"), fields.get("ExitCode", "unknown")
        if state == "PENDING" and array_of(job) in arrays_known:
            state = "CANCELLED"  # it was waiting, and is no longer in the queue
        if state in ENDED:
            found[job] = _described(state, code)
    return found


def is_preempted() -> bool:
    """Whether Slurm is preempting the calling job, in order to run it again."""
    job = _own_job()
    is_marked = job.get("JobState") == "RUNNING" and job.get("PreemptTime", "None") != "None"
    return is_marked or _has_restarted(job)


def is_requeued() -> bool:
    """Whether Slurm has put the calling job back into the queue, and is about to kill it."""
    return _has_restarted(_own_job())


def _own_job() -> dict[str, str]:
    try:
        return _remembered(os.environ["SLURM_JOB_ID"])
    except (KeyError, OutOfReachError):
        return {}


def _has_restarted(job: Mapping[str, str]) -> bool:
    return int(job.get("Restarts", "0")) > int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def _remembered(job: str) -> dict[str, str]:
    """What Slurm's controller knows about a job; empty if it has forgotten the job."""
    done = _run("scontrol", "show", "job", job)
    if done.returncode != 0:
        return {}
    parts = (part.partition("=") for part in done.stdout.split())
    return {name: value for name, _, value in parts}


def _tasks(listed: str) -> Iterator[str]:
    """The jobs on a line of the accounting: waiting ones share a line, `12_[0,2-3%50]`."""
    found = re.fullmatch(r"(\d+)_\[([\d,-]+)(%\d+)?\]", listed)
    if found is None:
        yield listed
        return
    for part in found[2].split(","):
        first, _, last = part.partition("-")
        yield from (f"{found[1]}_{task}" for task in range(int(first), int(last or first) + 1))


def _described(state: str, code: str) -> str:
    state = state.split(maxsplit=1)[0]  # "CANCELLED by 1000"
    if state == "OUT_OF_MEMORY":
        return f"{state}; ask for more with hydra.launcher.mem_gb"
    if code in _KILLED:
        return (
            f"{state}, killed with SIGKILL (exit code {code}): perhaps because it ran out of "
            "memory, see hydra.launcher.mem_gb"
        )
    return f"{state}, exit code {code}" if state == "FAILED" else state


def cancel_command(arrays: Collection[str]) -> str:
    """The command that cancels these arrays."""
    return f"scancel {' '.join(sorted(arrays))}"


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OutOfReachError(f"{command[0]}: {error}") from error
