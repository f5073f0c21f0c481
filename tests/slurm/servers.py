"""Servers that tests start for themselves, in a folder of their own, and that end with them."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path

import attrs


class ServerError(RuntimeError):
    """A server did not start, or a program that speaks to it failed; with what it said."""


def find_program(name: str) -> str | None:
    """Where a program lies, also where Debian puts servers: in no user's PATH."""
    postgresql = Path("/usr/lib/postgresql").glob("*/bin")
    return shutil.which(
        name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", *map(str, postgresql)])
    )


def free_ports(number: int) -> list[int]:
    """TCP ports of 127.0.0.1 that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def accepts(port: int) -> bool:
    """Whether something listens on a TCP port of 127.0.0.1."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def output_of(
    *command: str,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    stdin: str = "",
    timeout: float = 60,
) -> str:
    """Run a program to its end, as another user if one is named.

    Raises:
        ServerError: it fails, or has not ended after `timeout` seconds.
    """
    program = find_program(command[0]) or command[0]
    try:
        done = subprocess.run(
            [program, *command[1:]],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env={**os.environ, **(env or {})},
            user=user,
            cwd="/" if user else None,  # the user may not be allowed where the tests are
        )
    except subprocess.TimeoutExpired as error:
        raise ServerError(f"{' '.join(command)} took more than {timeout:g} seconds.") from error
    if done.returncode != 0:
        raise ServerError(
            f"{' '.join(command)} ended with status {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done.stdout


@attrs.frozen
class _Running:
    name: str
    process: subprocess.Popen[bytes]
    stop_signal: signal.Signals


class Servers:
    """Processes that belong together, and the folder that holds all they write."""

    def __init__(self, folder: Path) -> None:
        """Use `Servers.open`, which also ends them."""
        self.folder = folder
        self._running: list[_Running] = []

    @classmethod
    @contextlib.contextmanager
    def open(cls, name: str) -> Generator["Servers"]:
        """Make an empty folder; at the end, however it comes, its servers and itself are gone."""
        # In /tmp itself, because the path of a Unix socket has at most 107 characters.
        folder = Path(tempfile.mkdtemp(prefix=f"runwright-{name}-", dir="/tmp"))
        servers = cls(folder)
        try:
            folder.chmod(0o755)  # for a server that runs as another user
            yield servers
        finally:
            servers.stop()

    def start(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        """Start a server in the foreground; what it prints goes to its log in the folder.

        It is not in the terminal's process group, so that Ctrl-C leaves its end to `open`, and
        gets `stop_signal` when this process dies without coming so far.
        """
        name = Path(command[0]).name
        ends_with_us = ("setpriv", "--pdeathsig", stop_signal.name.removeprefix("SIG"))
        with self._log(name).open("ab") as log:
            process = subprocess.Popen(
                [*ends_with_us, find_program(command[0]) or command[0], *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                user=user,
                cwd=self.folder,
                start_new_session=True,
            )
        self._running.append(_Running(name, process, stop_signal))

    def kill(self, name: str) -> None:
        """End a server as a failure of its machine would."""
        (server,) = (server for server in self._running if server.name == name)
        self._running.remove(server)
        server.process.kill()
        server.process.wait()

    def wait_until(self, ready: Callable[[], bool], what: str, timeout: float = 60) -> None:
        """Wait for something that the servers do.

        Raises:
            ServerError: it has not happened after `timeout` seconds, or a server has ended; with
                the last lines of every log.
        """
        deadline = time.monotonic() + timeout
        while not ready():
            for server in self._running:
                if (status := server.process.poll()) is not None:
                    raise ServerError(
                        f"{server.name} ended with status {status}, before {what}.\n{self.logs()}"
                    )
            if time.monotonic() > deadline:
                raise ServerError(f"Not within {timeout:g} seconds: {what}.\n{self.logs()}")
            time.sleep(0.05)

    def logs(self, lines: int = 15) -> str:
        """The last lines of every server's log."""
        parts: list[str] = []
        for server in self._running:
            tail = self._log(server.name).read_text(errors="replace").splitlines()[-lines:]
            parts.append("\n  ".join([f"{server.name}:", *tail]))
        return "\n".join(parts)

    def stop(self) -> None:
        """End all servers and every process that they or the tests started for this folder."""
        for server in self._running:
            server.process.send_signal(server.stop_signal)
        for server in self._running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(timeout=10)
            server.process.kill()
            server.process.wait()
        # The jobs of a cluster: they are children of no server.
        deadline = time.monotonic() + 10
        while (others := list(processes_of(self.folder))) and time.monotonic() < deadline:
            for process in others:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.02)
        shutil.rmtree(self.folder)
        if others:
            raise ServerError(f"These processes cannot be killed: {others}.")

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


def processes_of(folder: Path) -> Iterator[int]:
    """The processes, but for this one, that have a path in a folder in their environment."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        process = int(path.parent.name)
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if os.fsencode(folder) in path.read_bytes() and process != os.getpid():
                yield process
