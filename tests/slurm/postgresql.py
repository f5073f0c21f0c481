"""A PostgreSQL server for as long as a test needs it."""

import contextlib
import os
import shutil
import signal
from collections.abc import Generator
from typing import Final

from slurm.servers import Servers, accepts, free_ports, output_of

PROGRAMS: Final = ("initdb", "postgres", "setpriv")


@contextlib.contextmanager
def running_postgresql() -> Generator[str]:
    """Start a server with an empty database; yields SQLAlchemy's URL of it.

    Raises:
        ServerError: it cannot be started; with the last lines of its log.
    """
    # PostgreSQL refuses root; its package brings a user.
    user = "postgres" if os.getuid() == 0 else None
    (port,) = free_ports(1)
    with Servers.open("postgresql") as servers:
        if user is not None:
            shutil.chown(servers.folder, user, user)
        data = str(servers.folder / "data")
        output_of(
            "initdb",
            *("--pgdata", data, "--username", "postgres", "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
            user=user,
        )
        servers.start(
            "postgres",
            *("-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", str(servers.folder)),
            *("-c", "fsync=off"),
            user=user,
            stop_signal=signal.SIGQUIT,  # at once, but with its shared memory given back
        )
        servers.wait_until(lambda: accepts(port), "PostgreSQL listens")
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
