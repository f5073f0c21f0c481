"""`submissions/` in a sweep directory: which jobs were submitted, when, and with which code.

One file per submission: the slots of a sweep submit in parallel, and no two may write one file.
"""

import datetime
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, cast

import attrs

from runwright.rundir.provenance import environment
from runwright.slurm.queue import array_of
from runwright.storage.atomic_files import write_bytes

_FOLDER: Final = "submissions"
_OVERWRITE: Final = re.compile(r"overwrite=(true|yes|on|y|1)", re.IGNORECASE)


@attrs.frozen(kw_only=True)
class SubmittedJob:
    """A job as it was submitted.

    Attributes:
        number: its number in the multirun.
        job: Slurm's name for it: `12_3`.
        overrides: its command line.
        run_dir: where it writes; None if only the job itself knows.
        code: the version of the code at the submission; None if unknown.
        log: where its output goes; None if unknown.
    """

    number: int
    job: str
    overrides: list[str]
    run_dir: Path | None
    code: str | None
    log: Path | None = None


def record(sweep_dir: Path, jobs: Sequence[SubmittedJob]) -> None:
    """Record what was submitted.

    Raises:
        OSError: it cannot be written.
    """
    entry = {
        "submitted": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "argv": sys.argv,
        **environment(),
        "code_version": jobs[0].code,
        "jobs": [
            {
                "number": job.number,
                "job": job.job,
                "overrides": job.overrides,
                "run_dir": _below(sweep_dir, job.run_dir),
                "log": _below(sweep_dir, job.log),
            }
            for job in jobs
        ],
    }
    path = sweep_dir / _FOLDER / f"{array_of(jobs[0].job)}.json"
    write_bytes(path, (json.dumps(entry, indent=2) + "\n").encode())


def recorded(folders: Iterable[Path]) -> dict[Path, list[SubmittedJob]]:
    """The jobs that were submitted in sweep directories at or below these, by directory.

    Of those that were submitted more than once, the last submission. A job has another number in
    another command; its run has one directory. With `overwrite=true` a submission takes the place
    of all before.
    """
    found: dict[Path, list[SubmittedJob]] = {}
    for folder in folders:
        for path in sorted(folder.rglob(f"{_FOLDER}/*.json"), key=_number):
            sweep_dir = path.parent.parent
            own = _read(path, sweep_dir)
            earlier = [] if start_over(job.overrides for job in own) else found.get(sweep_dir, [])
            listed = [*earlier, *own]
            jobs = {job.run_dir or job.number: job for job in listed}
            found[sweep_dir] = sorted(jobs.values(), key=lambda job: job.number)
    return found


def overrides_in(sweep_dir: Path) -> dict[Path, list[str]]:
    """The command lines of the jobs that were submitted in a sweep directory, by where they run."""
    paths = sorted((sweep_dir / _FOLDER).glob("*.json"), key=_number)
    jobs = [job for path in paths for job in _read(path, sweep_dir)]
    return {job.run_dir: job.overrides for job in jobs if job.run_dir is not None}


def _read(path: Path, sweep_dir: Path) -> list[SubmittedJob]:
    """The jobs of one file; empty if it is not ours."""
    if not path.is_file():  # reading a pipe would wait for ever
        return []
    try:
        entry: dict[str, Any] = json.loads(path.read_text())
        return [
            SubmittedJob(
                number=int(job["number"]),
                job=str(job["job"]),
                overrides=cast("list[str]", job["overrides"]),
                run_dir=sweep_dir / job["run_dir"] if job.get("run_dir") else None,
                code=entry.get("code_version"),
                log=sweep_dir / job["log"] if job.get("log") else None,
            )
            for job in entry["jobs"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def start_over(job_overrides: Iterable[Sequence[str]]) -> bool:
    """Whether these jobs take the place of those before, by `overwrite=true`."""
    return any(_OVERWRITE.fullmatch(one) for overrides in job_overrides for one in overrides)


def _below(sweep_dir: Path, path: Path | None) -> str | None:
    """A path, adjusted if the sweep directory was moved."""
    if path is not None and path.is_relative_to(sweep_dir):
        path = path.relative_to(sweep_dir)
    return None if path is None else str(path)


def _number(path: Path) -> tuple[int, str]:
    """Sorts array 10 after 9."""
    return int(path.stem) if path.stem.isdigit() else 0, str(path)
