"""Runs of several processes, started as a person starts them."""

import csv
import os
import signal
import subprocess
import time
from pathlib import Path

from conftest import REPOSITORY
from programs import start_python

OPTIONS = (
    *("model=cnn", "gpu=-1", "pictures=false", "opt.lr=0.002", "seed=3"),
    *("training.epochs=2", "training.log_every=10", "training.limit_train_batches=30"),
)


def start(*arguments: str, processes: int = 2) -> subprocess.Popen[str]:
    torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
    script = (str(REPOSITORY / "main.py"), *OPTIONS, *arguments)
    return start_python(*torchrun, *script, start_new_session=True)


def finish(process: subprocess.Popen[str], status: int = 0) -> str:
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


def kill(process: subprocess.Popen[str], run_dir: str) -> None:
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
