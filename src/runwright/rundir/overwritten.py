"""`overwrite=true` of a multirun: which runs in its directory are of the one before.

A job empties the directory of its own number. The other jobs of the earlier multirun stay, but they
are marked: nothing counts them as jobs of this one. A run that begins or goes on there removes the
mark.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from runwright.rundir.layout import ENVIRONMENT, MULTIRUN, OVERWRITTEN
from runwright.storage.atomic_files import write_bytes

_SAYS_MULTIRUN: Final = frozenset({"-m", "--multirun", "hydra.mode=MULTIRUN"})
_TEXT: Final = (
    b"This run is of a multirun that was started over here with overwrite=true. It is not counted "
    b"as a job of the one that took its place.\n"
)


def mark_jobs(folder: Path, *, before: float = math.inf) -> list[Path]:
    """Mark all runs that earlier multiruns have made in the directory of one that starts over.

    Args:
        folder: the directory.
        before: only those that began before this time, in seconds since 1970. Some launchers have
            a process for each job, which begins when others of the same multirun have ended.

    Returns:
        The directories of those that were not marked.
    """
    found = [path for path in _jobs(folder) if not is_marked(path) and _began(path) < before]
    for path in found:
        write_bytes(path / OVERWRITTEN, _TEXT)
        if _began(path) >= before:  # a job in another process has just taken its place
            unmark(path)
    return found


def is_marked(path: Path) -> bool:
    """Whether the run in a directory is of a multirun that was started over."""
    return (path / OVERWRITTEN).is_file()


def unmark(path: Path) -> None:
    """Count the run in a directory again."""
    (path / OVERWRITTEN).unlink(missing_ok=True)


def _began(path: Path) -> float:
    """When a run directory was last taken by a run."""
    return (path / ENVIRONMENT).stat().st_mtime


def _jobs(folder: Path) -> Iterator[Path]:
    for record in folder.rglob("config.yaml"):
        path = record.parent
        between = [above for above in path.parents if folder in above.parents]
        is_anothers = any((above / MULTIRUN).exists() for above in [path, *between])
        if not is_anothers and (path / ENVIRONMENT).is_file() and _is_job(path, folder):
            yield path


def _is_job(path: Path, folder: Path) -> bool:
    """Whether a multirun made this run, which may have been resumed by itself since."""
    if path.parent == folder and path.name.isdecimal():
        return True
    try:
        environment: Any = json.loads((path / ENVIRONMENT).read_text())
        return not _SAYS_MULTIRUN.isdisjoint(environment["argv"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
