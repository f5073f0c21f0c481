"""Kill a training with SIGKILL at random moments until it is done, many times over.

Called by `test_kills.py` in a process of its own, which has one thread and forks a child for
every attempt: so an attempt costs a second, and the kills fall on the training, not on imports.

    python kill_points.py DIRECTORY SEED KILLS OVERRIDE…
"""

import importlib
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from runwright import compose


def attempt(overrides: list[str], run_dir: Path, kill_after: float | None) -> bool:
    """Run in a child; kill it after some seconds. Whether it came to its end."""
    child = os.fork()
    if child == 0:
        output = os.open(run_dir.with_suffix(".out"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        try:
            compose(overrides).run(run_dir)
        except BaseException:  # noqa: BLE001  # whatever it is, the parent prints it
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
        sys.exit(run_dir.with_suffix(".out").read_text())
    return os.WIFEXITED(status)


def main() -> None:
    torch.set_num_threads(1)
    importlib.import_module("torch._dynamo")  # as an optimiser does, for seconds, in every child
    directory, seed, kills = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    overrides = sys.argv[4:]
    directory.mkdir(parents=True)
    started = time.monotonic()
    assert attempt(overrides, directory / "unbroken", None)
    whole = time.monotonic() - started
    rng, killed, runs = random.Random(seed), 0, 0
    while killed < kills:
        runs += 1
        run_dir = directory / f"broken-{runs}"
        # An attempt must be able to get a little further than the one before it.
        while not attempt(overrides, run_dir, rng.uniform(0.1, 0.7) * whole):
            killed += 1
            if killed >= kills:
                attempt(overrides, run_dir, None)
                break
    print(f"{killed} kills in {runs} runs")


if __name__ == "__main__":
    main()
