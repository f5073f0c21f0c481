"""A Slurm cluster of one node, with accounting, for as long as a test needs it."""

import contextlib
import os
import pwd
import re
import signal
import socket
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final

import attrs

from runwright.slurm.queue import ENDED
from slurm.servers import ServerError, Servers, accepts, free_ports, output_of, processes_of

PROGRAMS: Final = (
    "munged",
    "mungekey",
    "mariadb-install-db",
    "my_print_defaults",  # which mariadb-install-db calls
    "mariadbd",
    "slurmdbd",
    "slurmctld",
    "slurmd",
    "sbatch",
    "setpriv",
)

_SLURMDBD_CONF: Final = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdPort={slurmdbd_port}
SlurmUser={user}
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={mariadb_port}
StorageUser=root
StorageLoc=slurm
"""

# Everything is scheduled within a second or so. A job in the partition `main` makes way for one in
# `high`: it gets the signal that it asked for, or SIGTERM, and is requeued after GraceTime.
_SLURM_CONF: Final = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={slurmctld_port}
SlurmdPort={slurmd_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits until its credential has expired, of which the default is 2 minutes.
AuthInfo=cred_expire=5,socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
MailProg=/bin/true
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2

# The node may have more CPUs than the machine, so that several small jobs run at once.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU={memory_per_cpu}

AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={slurmdbd_port}
AccountingStoragePass={folder}/munge.socket
# Without cgroups it is this that measures the memory of jobs, and kills those that take too much.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
JobCompType=jobcomp/none

SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=2,sched_min_interval=0,batch_sched_delay=0
MinJobAge=300
KillWait=5
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal

NodeName=localhost NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory}
PartitionName=DEFAULT Nodes=ALL MaxTime=INFINITE
PartitionName=main Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime={grace_seconds}
PartitionName=high PriorityTier=10 PreemptMode=OFF
"""


@attrs.frozen
class Slurm:
    """A running cluster. `env` is what a process needs to find it; the node has `cpus`."""

    servers: Servers
    env: dict[str, str]
    cpus: int

    def sbatch(self, script: str, *options: str) -> str:
        """Submit a shell script; returns the job's number."""
        command = ("sbatch", "--parsable", *options)
        return output_of(*command, env=self.env, stdin=f"#!/bin/bash\n{script}\n").strip()

    def squeue(self) -> dict[str, str]:
        """The state of every job, each task of an array by itself, that waits or runs."""
        return _states(output_of("squeue", "-h", "-r", "-o", "%i|%T", env=self.env))

    def sacct(self, job: str) -> dict[str, str]:
        """The state of a job, or of each task of an array, according to the accounts."""
        options = ("-n", "-X", "-P", "-o", "JobID,State", "-j", job)
        return _states(output_of("sacct", *options, env=self.env))

    def scancel(self, job: str) -> None:
        """Cancel a job or an array, or one task of it, `5_1`."""
        output_of("scancel", job, env=self.env)

    def signal(self, job: str, name: str) -> None:
        """Send a signal to a job, as Slurm does before its time limit."""
        output_of("scancel", f"--signal={name}", job, env=self.env)

    def requeue(self, job: str) -> None:
        """Stop a job and put it back into the queue, as an administrator would."""
        output_of("scontrol", "requeue", job, env=self.env)

    def wait_for(self, job: str, state: str, timeout: float = 120) -> None:
        """Wait until the accounts show a job, or every task of an array, in a state.

        Raises:
            ServerError: it came to its end in another state, or takes longer than `timeout`
                seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            queued = {number.partition("_")[0] for number in self.squeue()}
            states = self.sacct(job)
            found = set(states.values())
            if found == {state}:
                return
            ended = job.partition("_")[0] not in queued and found and found <= ENDED
            if ended or time.monotonic() > deadline:
                what = "is" if ended else f"is after {timeout:g} seconds"
                raise ServerError(f"Job {job} {what} {states}, not {state}.\n{self.servers.logs()}")
            time.sleep(0.2)

    @contextlib.contextmanager
    def without_user_signals(self) -> Generator[None]:
        """As Slurm is by default: a job that makes way gets SIGTERM, as one that is cancelled."""
        path = Path(self.env["SLURM_CONF"])
        content = path.read_text()

        def is_configured(parameters: str) -> bool:
            shown = output_of("scontrol", "show", "config", env=self.env)
            return (
                re.search(rf"^SlurmctldParameters *= {parameters}$", shown, re.MULTILINE)
                is not None
            )

        def configure(content: str, parameters: str) -> None:
            path.write_text(content)
            output_of("scontrol", "reconfigure", env=self.env)
            self.servers.wait_until(lambda: is_configured(parameters), "Slurm is configured anew")

        parameters = "preempt_send_user_signal"
        line = f"SlurmctldParameters={parameters}\n"
        assert line in content
        configure(content.replace(line, ""), r"\(null\)")
        try:
            yield
        finally:
            configure(content, parameters)

    @contextlib.contextmanager
    def without_node(self) -> Generator[None]:
        """The node is lost with all that runs on it, as if its power failed; then it is back."""
        self.servers.kill("slurmd")
        for process in processes_of(self.servers.folder):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                environment = Path(f"/proc/{process}/environ").read_bytes()
                name = Path(f"/proc/{process}/comm").read_text().strip()
                if b"SLURM_JOB_ID=" in environment or name == "slurmstepd":
                    os.kill(process, signal.SIGKILL)
        # The controller would find out after SlurmdTimeout, by default 5 minutes.
        self._set_node("state=down", "reason=lost")
        try:
            yield
        finally:
            self.start_node()
            with contextlib.suppress(ServerError):  # one that is back already has no such state
                self._set_node("state=resume")

    def _set_node(self, *what: str) -> None:
        output_of("scontrol", "update", "nodename=localhost", *what, env=self.env)

    def start_node(self) -> None:
        """Start the node, as whom the controller knows it."""
        self.servers.start("slurmd", "-D", "-N", "localhost", env=self.env)

    def cancel_everything(self) -> None:
        """Empty the queue, without giving jobs the time to end in order."""

        def is_empty() -> bool:
            output_of("scancel", "--me", "--full", "--signal=KILL", env=self.env)
            output_of("scancel", "--me", env=self.env)
            return not self.squeue()

        self.servers.wait_until(is_empty, "the queue is empty")


def _states(lines: str) -> dict[str, str]:
    rows = [line.split("|") for line in lines.splitlines()]
    return {job: state.split()[0] for job, state in rows}  # "CANCELLED by 0"


@contextlib.contextmanager
def running_slurm(cpus: int = 4, grace_seconds: int = 10) -> Generator[Slurm]:
    """Start a cluster whose node has `cpus`, and end it with all its jobs.

    Args:
        cpus: how many the node has, also if the machine has fewer.
        grace_seconds: how long a preempted job may go on after the signal.

    Raises:
        ServerError: it cannot be started; with the last lines of the logs.
    """
    with Servers.open("slurm") as servers:
        env = {"SLURM_CONF": str(servers.folder / "slurm.conf")}
        slurmdbd_port, mariadb_port = _write_configuration(servers.folder, cpus, grace_seconds)
        slurm = Slurm(servers, env, cpus)
        _start_munge(servers)
        _start_mariadb(servers, mariadb_port)
        servers.start("slurmdbd", "-D", env=env)
        servers.wait_until(lambda: accepts(slurmdbd_port), "slurmdbd listens")
        user = _user()
        for thing in (["cluster", "test"], ["account", "test"], ["user", user, "account=test"]):
            output_of("sacctmgr", "--immediate", "add", *thing, env=env)
        servers.start("slurmctld", "-D", env=env)
        slurm.start_node()
        servers.wait_until(lambda: _is_idle(env), "sinfo shows the node as idle")
        yield slurm


def _write_configuration(folder: Path, cpus: int, grace_seconds: int) -> tuple[int, int]:
    """Write slurm.conf and slurmdbd.conf; returns the ports of slurmdbd and MariaDB."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    slurmdbd_port, mariadb_port, slurmctld_port, slurmd_port = free_ports(4)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    values = {
        "folder": folder,
        "host": socket.gethostname().partition(".")[0],
        "user": _user(),
        "slurmdbd_port": slurmdbd_port,
        "mariadb_port": mariadb_port,
        "slurmctld_port": slurmctld_port,
        "slurmd_port": slurmd_port,
        "cpus": cpus,
        "grace_seconds": grace_seconds,
        "memory": memory,
        "memory_per_cpu": min(2000, memory // cpus),
    }
    (folder / "slurm.conf").write_text(_SLURM_CONF.format(**values))
    # slurmd would look for the version of cgroups, and not start in a container that has none.
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    slurmdbd_conf = folder / "slurmdbd.conf"
    slurmdbd_conf.touch(mode=0o600)  # slurmdbd refuses a file that others can read
    slurmdbd_conf.write_text(_SLURMDBD_CONF.format(**values))
    return slurmdbd_port, mariadb_port


def _start_munge(servers: Servers) -> None:
    key, munge_socket = servers.folder / "munge.key", servers.folder / "munge.socket"
    output_of("mungekey", "--create", f"--keyfile={key}")
    servers.start(
        "munged",
        "--foreground",
        f"--key-file={key}",
        f"--socket={munge_socket}",
        f"--pid-file={servers.folder / 'munged.pid'}",
        f"--seed-file={servers.folder / 'munged.seed'}",
    )
    servers.wait_until(munge_socket.exists, "munged makes its socket")


def _start_mariadb(servers: Servers, port: int) -> None:
    options = (
        "--no-defaults",
        f"--datadir={servers.folder / 'mariadb'}",
        f"--tmpdir={servers.folder}",  # two that share one lose each other's temporary tables
        f"--user={_user()}",
        "--innodb-log-file-size=8M",  # of 96 MB
    )
    normal = "--auth-root-authentication-method=normal"  # without a password
    output_of("mariadb-install-db", *options, "--skip-test-db", normal)
    servers.start(
        "mariadbd",
        *options,
        "--bind-address=127.0.0.1",
        f"--port={port}",
        f"--socket={servers.folder / 'mariadb.socket'}",
        f"--pid-file={servers.folder / 'mariadb.pid'}",
        "--innodb-flush-log-at-trx-commit=0",
    )
    servers.wait_until(lambda: accepts(port), "MariaDB listens")


def _is_idle(env: dict[str, str]) -> bool:
    with contextlib.suppress(ServerError):  # slurmctld does not answer yet
        return set(output_of("sinfo", "-h", "-o", "%T", env=env).split()) == {"idle"}
    return False


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name
