"""Python programs that tests start, as a user does, without the seconds that imports take.

Most of the time of a small run is the import of torch and its compiler. Here a program is a copy
of a process that has them: `warm_python.py`.
"""

import atexit
import contextlib
import functools
import json
import os
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self, TextIO

from warm_python import STATUS, Request

# Two threads of torch on a busy machine of two cores can be thirty times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What Python and the libraries read when they start, so that a copy would not heed it.
_READ_AT_START: Final = (
    *("PYTHON", "LD_", "LC_", "LANG", "TZ", "OMP_", "MKL_", "OPENBLAS_", "TORCH", "CUDA", "MPL"),
)
_BEFORE: Final = dict(os.environ)

# Seconds for a command that a page shows. The longest takes two minutes by itself, and six where
# each core has several tests.
_PATIENCE: Final = 900.0


def start_python(
    *arguments: str | Path,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    stderr: int = subprocess.STDOUT,
    start_new_session: bool = False,
) -> "Program":
    """Start `python ARGUMENTS` with `env` added to the environment.

    It is no copy where `env` has what is read at the start, such as PYTHONHASHSEED.
    """
    return Program(
        [str(argument) for argument in arguments],
        cwd=cwd,
        env=env or {},
        stderr=stderr,
        start_new_session=start_new_session,
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
        said, error = process.communicate(timeout=timeout)
    done = subprocess.CompletedProcess(process.args, process.wait(), said, error)
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
        words = shlex.split(command)[1:]
        return run_python(*words, cwd=cwd, env=env, stderr=stderr, timeout=_PATIENCE)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        command,
        shell=True,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=_PATIENCE,
        check=False,
        env={**os.environ, "PATH": path, **(env or {})},
    )


class Program:
    """A program that was started: what tests need of `subprocess.Popen`, under the same names."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        cwd: str | Path | None,
        env: Mapping[str, str],
        stderr: int,
        start_new_session: bool,
    ) -> None:
        self.args: Final = [sys.executable, *arguments]
        self.returncode: int | None = None
        self._readers: list[_Reader] = []
        out, self.stdout = _pipe()
        err, self.stderr = (out, None) if stderr == subprocess.STDOUT else _pipe()
        ended, status = os.pipe()
        self._status: Final = open(ended, "rb", buffering=0)  # noqa: PTH123, SIM115
        path = {**os.environ, **env}.get("PYTHONPATH", "")
        request = Request(
            arguments=list(arguments),
            cwd=os.path.abspath(cwd or "."),  # noqa: PTH100
            env={**os.environ, **env},
            path=path.split(os.pathsep) if path and path != _BEFORE.get("PYTHONPATH") else [],
            new_session=start_new_session,
            is_new=any(
                value != _BEFORE.get(name)
                for name, value in env.items()
                if name.startswith(_READ_AT_START) and name != "PYTHONPATH"
            ),
        )
        with tempfile.TemporaryFile("w+") as said:
            json.dump(request, said)
            said.seek(0)
            socket.send_fds(_server(), [b"x"], [0, out, err, said.fileno(), status])
        for fd in {out, err, status}:
            os.close(fd)
        self.pid: Final = self._read_status()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, mistake: type[BaseException] | None, *_: object) -> None:
        if mistake is not None:
            self.kill()  # nobody will tell it to end
        if not self._readers:
            for file in (self.stdout, self.stderr):
                if file is not None:
                    file.close()
        self.wait()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end, at most `timeout` seconds; return what it says until then.

        Raises:
            subprocess.TimeoutExpired: it has not ended; it may be waited for again.
        """
        files = [file for file in (self.stdout, self.stderr) if file is not None]
        self._readers = self._readers or [_Reader(file) for file in files]
        for reader in self._readers:
            reader.join(timeout)
            if timeout is not None and reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout)
        self.wait(timeout)
        said, error, *_ = (*(reader.said for reader in self._readers), "")
        return said, error

    def poll(self) -> int | None:
        """Its status, as `returncode` has it, if it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its status: a signal that ended it is a negative number.

        Raises:
            subprocess.TimeoutExpired: it has not ended after `timeout` seconds.
        """
        if self.returncode is None:
            if timeout is not None and not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            self.returncode = os.waitstatus_to_exitcode(self._read_status())
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        self.send_signal(signal.SIGKILL)

    def _read_status(self) -> int:
        (number,) = STATUS.unpack(self._status.read(STATUS.size))
        return number


class _Reader(threading.Thread):
    """Reads a file to its end, so that who writes to it need not wait."""

    def __init__(self, file: TextIO) -> None:
        super().__init__(daemon=True)
        self.said = ""
        self._file = file
        self.start()

    def run(self) -> None:
        with self._file:
            self.said = self._file.read()


def _pipe() -> tuple[int, TextIO]:
    """Where a program writes, and the file that it can be read from."""
    read, write = os.pipe()
    return write, open(read)  # noqa: PTH123


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
