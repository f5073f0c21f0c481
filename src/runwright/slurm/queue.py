"""What Slurm says of jobs: whether they are still in the queue, and how they ended."""

import logging
import os
import subprocess
from collections.abc import Collection, Iterable, Mapping
from typing import Final

log = logging.getLogger(__name__)

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
"""States of a job that nothing follows upon; the queue's listing may show them for a while."""

# Exit codes, as status:signal, of jobs that were killed; which it is depends on who killed them.
_KILLED: Final = frozenset({"0:9", "9:0", "137:0"})


def in_queue(arrays: Iterable[str]) -> set[str] | None:
    """The jobs of these arrays, as "12_3", that wait, run, or will run again.

    Returns:
        None when Slurm does not answer.
    """
    waiting: set[str] = set()
    for array in arrays:
        done = _run("squeue", "--noheader", "--array", "--jobs", array, "--format", "%i %T")
        if done is None:
            return None
        if done.returncode != 0:
            if "Invalid job id" in done.stderr:  # so long ended that Slurm has forgotten it
                continue
            log.warning("squeue: %s", done.stderr.strip())
            return None
        for line in done.stdout.splitlines():
            job, _, state = line.strip().partition(" ")
            if state not in ENDED:
                waiting.add(job)
    return waiting


def how_ended(job: str) -> str:
    """The state in which a job ended, and its exit code, by Slurm's accounting or its memory."""
    done = _run("sacct", "--noheader", "--parsable2", "-X", "-j", job, "-o", "State,ExitCode")
    if done is not None and done.returncode == 0 and done.stdout.strip():
        state, _, code = done.stdout.strip().splitlines()[-1].partition("|")
        return _told(state, code)
    if fields := _remembered(job):
        return _told(fields.get("JobState", "gone"), fields.get("ExitCode", "unknown"))
    return "gone from the queue without a result"


def is_making_way() -> bool:
    """Whether Slurm takes away the place of the job that asks this, in order to run it again."""
    job = _remembered(os.environ.get("SLURM_JOB_ID"))
    is_preempted = job.get("JobState") == "RUNNING" and job.get("PreemptTime", "None") != "None"
    return is_preempted or _has_restarted(job)


def is_requeued() -> bool:
    """Whether Slurm has put the job that asks this back into the queue, and is about to kill it."""
    return _has_restarted(_remembered(os.environ.get("SLURM_JOB_ID")))


def _has_restarted(job: Mapping[str, str]) -> bool:
    return int(job.get("Restarts", "0")) > int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def _remembered(job: str | None) -> dict[str, str]:
    """What Slurm's controller knows of a job; nothing where there is none."""
    done = _run("scontrol", "show", "job", job) if job is not None else None
    if done is None or done.returncode != 0:
        return {}
    parts = (part.partition("=") for part in done.stdout.split())
    return {name: value for name, _, value in parts}


def _told(state: str, code: str) -> str:
    if state == "OUT_OF_MEMORY":
        return f"{state}; ask for more with hydra.launcher.mem_gb"
    if code in _KILLED:
        return (
            f"{state}, killed with SIGKILL (exit code {code}): perhaps for the memory that it "
            "took, see hydra.launcher.mem_gb"
        )
    return f"{state}, exit code {code}" if state == "FAILED" else state


def cancel_hint(arrays: Collection[str]) -> str:
    """The command that cancels these arrays."""
    return f"scancel {' '.join(sorted(arrays))}"


def _run(*command: str) -> "subprocess.CompletedProcess[str] | None":
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("%s: %s", command[0], error)
        return None
