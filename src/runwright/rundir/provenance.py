"""Where a run comes from: versions, machine, process, and the state of the code."""

import contextlib
import datetime
import functools
import hashlib
import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@functools.cache
def environment() -> dict[str, Any]:
    """Versions, machine and git commit; looked up once per process, even for a hundred jobs."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "packages": _versions("runwright"),
        "code_version": code_version(),
        "git_commit": _text(_git("rev-parse", "HEAD")) or None,
        "git_uncommitted_changes": _text(_git("status", "--porcelain")).splitlines(),
    }


def _versions(package: str) -> dict[str, str]:
    """The version of a package, and of each installed dependency of it or its extras."""
    names = [package]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # run from its source alone
        demands = importlib.metadata.requires(package) or []
        names += sorted({match[0] for demand in demands if (match := _NAME.match(demand))})
    versions: dict[str, str] = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def code_version() -> str | None:
    """The commit of the working directory, with a digest of what is not committed.

    None outside a repository.
    """
    commit = _text(_git("rev-parse", "--short=10", "HEAD"))
    if not commit:
        return None
    diff = uncommitted()
    return f"{commit}+{hashlib.sha256(diff).hexdigest()[:8]}" if diff else commit


def uncommitted() -> bytes | None:
    """The uncommitted changes of the running code, as a patch; None outside a repository."""
    return _git("diff", "HEAD")


def this_process() -> dict[str, Any]:
    """When and how this process was started."""
    of_job = ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID")
    names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", *of_job)
    return {
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "process": os.getpid(),
        "argv": sys.argv,
        "working_directory": str(Path.cwd()),
        "environment": {name: os.environ[name] for name in names if name in os.environ},
    }


def _git(*arguments: str) -> bytes | None:
    """The output of a git command on the running code; None outside a repository."""
    folder = Path(sys.argv[0]).resolve().parent if sys.argv[0].endswith(".py") else Path.cwd()
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, timeout=10, check=True
        )
        return done.stdout.rstrip(b"\n")
    return None


def _text(output: bytes | None) -> str:
    """What git said as text; files and names may be in any encoding."""
    return (output or b"").decode(errors="replace")


def program() -> str:
    """The command that calls this process's script."""
    return f"python {shlex.quote(sys.argv[0])}" if sys.argv[0].endswith(".py") else "python main.py"


def is_alive(process: int) -> bool:
    """Whether a process with this number exists on this machine, whoever owns it."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
