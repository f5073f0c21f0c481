"""Python programs that tests start, as a user does, without the seconds that imports take.

Most of the time of a small run is the import of torch and its compiler. Here a program is a copy
of a process that has them: `warm_python.py`.
"""

import atexit
import functools
import inspect
import json
import os
import re
import select
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from warm_python import STATUS, Request

# Two threads of torch on a busy machine of two cores can be thirty times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What Python and the libraries read when they start, so that a copy would not heed it.
_READ_AT_START: Final = (
    *("PYTHON", "LD_", "LC_", "LANG", "TZ", "OMP_", "MKL_", "OPENBLAS_", "TORCH", "CUDA", "MPL"),
)
_BEFORE: Final = dict(os.environ)


def start_python(
    *arguments: str | Path,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    stderr: int = subprocess.STDOUT,
    start_new_session: bool = False,
) -> subprocess.Popen[str]:
    """Start `python ARGUMENTS` with `env` added to the environment.

    It is no copy where `env` has what is read at the start, such as PYTHONHASHSEED.
    """
    added = env or {}
    return _kind(added)(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **added},
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=start_new_session,
        text=True,
    )


def run_python(
    *arguments: str | Path,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    stderr: int = subprocess.PIPE,
    timeout: float = 300,
    check: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run `python ARGUMENTS` to its end, with `env` added to the environment.

    Raises:
        subprocess.TimeoutExpired: it took longer than `timeout` seconds, and was killed.
        subprocess.CalledProcessError: with `check`, it ended with another status than 0.
    """
    with start_python(*arguments, cwd=cwd, env=env, stderr=stderr) as process:
        try:
            said, error = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, said, error)
    if check and done.returncode:
        print(done.stdout, done.stderr)
        done.check_returncode()
    return done


def run_shown(
    command: str,
    *,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    stderr: int = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    """Run a command as a page or a program shows it, in a shell if it has anything for a shell."""
    is_for_a_shell = re.search(r"[^\w\s=./,:+@%-]", re.sub(r"'[^']*'", "", command))
    if command.startswith("python ") and not is_for_a_shell:
        return run_python(*shlex.split(command)[1:], cwd=cwd, env=env, stderr=stderr)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        command,
        shell=True,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PATH": path, **(env or {})},
    )


def _kind(added: Mapping[str, str]) -> type[subprocess.Popen[str]]:
    differs = any(
        value != _BEFORE.get(name)
        for name, value in added.items()
        if name.startswith(_READ_AT_START) and name != "PYTHONPATH"
    )
    return subprocess.Popen[str] if differs else _Copy


class _Copy(subprocess.Popen[str]):
    """Its methods are those of Popen: only the start, and who waits for the end, differ."""

    _status: int

    def _execute_child(self, *given: Any) -> None:
        names = inspect.signature(super()._execute_child).parameters  # pyright: ignore[reportAttributeAccessIssue]
        start = dict(zip(names, given, strict=True))
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        theirs = enumerate(start[pipe] for pipe in ("p2cread", "c2pwrite", "errwrite"))
        path = start["env"].get("PYTHONPATH", "")
        more_path = "" if path == _BEFORE.get("PYTHONPATH") else path
        request = Request(
            arguments=start["args"][1:],
            cwd=os.path.abspath(start["cwd"] or "."),  # noqa: PTH100
            env=start["env"],
            path=more_path.split(os.pathsep) if more_path else [],
            new_session=start["start_new_session"],
        )
        self._status, status = os.pipe()
        standard = [number if pipe == -1 else pipe for number, pipe in theirs]
        with tempfile.TemporaryFile("w+") as said:
            json.dump(request, said)
            said.seek(0)
            socket.send_fds(_server(), [b"x"], [*standard, said.fileno(), status])
        os.close(status)
        self._close_pipe_fds(*(start[pipe] for pipe in pipes))  # pyright: ignore[reportAttributeAccessIssue]
        self.pid = self._read_status()
        self._child_created = True

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if wait_flags & os.WNOHANG and not select.select([self._status], [], [], 0)[0]:
            return 0, 0
        ended = self._read_status()
        os.close(self._status)
        return self.pid, ended

    def _internal_poll(self, *_: object, **__: object) -> int | None:
        if self.returncode is None:
            pid, ended = self._try_wait(os.WNOHANG)
            if pid:
                self._handle_exitstatus(ended)  # pyright: ignore[reportAttributeAccessIssue]
        return self.returncode

    def _read_status(self) -> int:
        (number,) = STATUS.unpack(os.read(self._status, STATUS.size))
        return number


@functools.cache
def _server() -> socket.socket:
    """The connection to the process that is copied, which ends when this one does."""
    here, there = socket.socketpair()
    command = [sys.executable, str(Path(__file__).with_name("warm_python.py")), str(there.fileno())]
    process = subprocess.Popen(command, pass_fds=[there.fileno()], env=_BEFORE)
    there.close()

    def end() -> None:
        here.close()
        process.wait()

    atexit.register(end)
    return here
