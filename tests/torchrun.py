"""Runs of several processes: started by torchrun, or as it starts them, without its seconds."""

import csv
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from conftest import REPOSITORY, last_of_each
from programs import Program, start_python

OPTIONS = (
    *("model=cnn", "gpu=-1", "pictures=false", "opt.lr=0.002", "seed=3"),
    *("training.epochs=2", "training.log_every=10", "training.limit_train_batches=30"),
)

# Each process is a copy of this one, which has imported torch; one that fails ends the others.
_COPIES = """
import os, runpy, signal, socket, sys
count, *sys.argv = sys.argv[1:]
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": count}
pids = []
for rank in map(str, range(int(count))):
    pids.append(os.fork())
    if pids[-1] == 0:
        os.environ |= {"RANK": rank, "LOCAL_RANK": rank}
        runpy.run_path(sys.argv[0], run_name="__main__")
while pids:
    pid, status = os.wait()
    pids.remove(pid)
    if status:
        for other in pids:
            os.kill(other, signal.SIGTERM)
        sys.exit(1)
"""


def start_copies(
    *arguments: str,
    options: Sequence[str] = OPTIONS,
    processes: int = 2,
    script: Path = REPOSITORY / "main.py",
) -> Program:
    """Start a script in processes that find each other by what torchrun would tell them."""
    command = (str(script), *last_of_each(*options, *arguments))
    return start_python("-c", _COPIES, str(processes), *command, start_new_session=True)


def start(*arguments: str, processes: int = 2) -> Program:
    """Start `main.py` as a person does, by torchrun."""
    torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
    script = (str(REPOSITORY / "main.py"), *last_of_each(*OPTIONS, *arguments))
    return start_python(*torchrun, *script, start_new_session=True)


def finish(process: Program, status: int = 0) -> str:
    said, _ = process.communicate(timeout=240)
    assert process.returncode == status, said
    return said


def measures(run_dir: str) -> list[dict[str, float]]:
    with Path(run_dir, "metrics.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def last_weights(run_dir: str) -> bytes:
    return Path(run_dir, "checkpoints", "last.safetensors").read_bytes()


def wait_for_checkpoint(run_dir: str) -> None:
    deadline = time.monotonic() + 120
    while not Path(run_dir, "checkpoints", "last.state.safetensors").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill(process: Program, run_dir: str) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    # torchrun gives them sessions of their own.
    for pid in processes_of(f"hydra.run.dir={run_dir}"):
        os.kill(pid, signal.SIGKILL)
    process.communicate()


def processes_of(argument: str) -> list[int]:
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if argument.encode() in arguments and b"torch.distributed.run" not in arguments:
            found.append(int(folder.name))
    return found
