"""Whether a run without a recorded end is still running."""

import os
import platform
import struct
import sys
from pathlib import Path
from typing import Any

from runwright.rundir.provenance import is_alive


def last_written(path: Path) -> float:
    """When something was last written in a run directory, in seconds since 1970."""
    return max(file.stat().st_mtime for file in (path, *path.iterdir()))


def state_without_end(path: Path, environment: dict[str, Any]) -> str:
    """Running, killed or unknown: a running run holds the lock of its directory.

    Taking the lock to find out would make a run that starts at that moment fail.
    """
    lock = path / ".lock"
    if environment.get("host") == platform.node():
        return "running" if _holds_open(environment.get("process"), lock) else "killed"
    return "running" if _is_locked_over_nfs(lock) else "unknown"


def _holds_open(process: Any, file: Path) -> bool:
    """Whether a process on this machine has a file open."""
    if not isinstance(process, int) or not file.exists():
        return False
    opened = Path(f"/proc/{process}/fd")
    try:
        return any(_is_same(one, file) for one in opened.iterdir())
    except OSError:  # it has ended, it is another user's, or this system has no /proc
        return is_alive(process)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # closed meanwhile
        return False


def _is_locked_over_nfs(file: Path) -> bool:
    """Whether another machine holds the lock, as far as a network file system's server knows.

    NFS turns locks into POSIX locks, and those can be queried (flock(2)).
    """
    if sys.platform != "linux":  # elsewhere the query has another form
        return False
    import fcntl

    # struct flock: type, whence, start, length (0 is all of the file), process.
    question = struct.pack("@hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        with file.open("rb") as opened:
            answer = fcntl.fcntl(opened, fcntl.F_GETLK, question)
    except OSError:
        return False
    (kind,) = struct.unpack_from("@h", answer)
    return kind != fcntl.F_UNLCK
