"""What a job of a multirun costs besides its training, against an empty Hydra application.

    taskset -c 0 python benchmarks/multirun.py

A process with 10 jobs of one training step each, and one with 110: the difference is what 100 jobs
cost, including composing and checking them. It prints the time per job outside `Config.run()`, the
same for an empty Hydra application, the time per job inside `Config.run()`, and the growth of the
resident memory over the last 100 jobs. Both are measured in turn; the figures are medians over the
rounds, the difference that of the pairs.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import attrs

REPOSITORY = Path(__file__).parent.parent
FEW, MANY = 10, 110

PROBE = """
import atexit, resource, time
inside, memory = [], []
def note(seconds):
    pages = int(open("/proc/self/statm").read().split()[1])
    inside.append(seconds)
    memory.append(pages * resource.getpagesize() / 2**20)
atexit.register(lambda: print("RESULT", sum(inside), memory[9], memory[-1]))
"""

EMPTY = (
    PROBE
    + """
import hydra
@hydra.main(config_path=None)
def main(cfg):
    note(0.0)
main()
"""
)

OURS = (
    PROBE
    + """
import sys
from runwright import app, run
def timed(*arguments):
    started = time.perf_counter()
    value = run(*arguments)
    note(time.perf_counter() - started)
    return value
sys.modules["runwright.run"].run = timed
app.main()
"""
)


def measure(script: Path, jobs: int, *arguments: str) -> tuple[float, float, float, float]:
    """Seconds outside and inside the runs, and MiB after the 10th and the last job."""
    key = "seed" if "model=cnn" in arguments else "+seed"
    seeds = ",".join(str(seed) for seed in range(jobs))
    command = [sys.executable, "-W", "ignore", str(script), "--multirun", f"{key}={seeds}"]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, *arguments], cwd=script.parent, capture_output=True, text=True, check=False
    )
    total = time.perf_counter() - started
    found = re.search(r"RESULT (\S+) (\S+) (\S+)", done.stdout)
    if done.returncode or found is None:
        sys.exit(done.stdout[-2000:] + done.stderr[-4000:])
    inside, first, last = (float(value) for value in found.groups())
    return total - inside, inside, first, last


@attrs.frozen(kw_only=True)
class Cost:
    """What a job costs: milliseconds outside and inside the run; MiB after job 10 and job 110."""

    outside: float
    inside: float
    first: float
    last: float


def cost(script: Path, *arguments: str) -> Cost:
    """The cost of a job, from a process with few and one with many."""
    few, many = (measure(script, jobs, *arguments) for jobs in (FEW, MANY))
    outside, inside = (1e3 * (many[i] - few[i]) / (MANY - FEW) for i in (0, 1))
    return Cost(outside=outside, inside=inside, first=many[2], last=many[3])


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    rounds: int = parser.parse_args().rounds
    small = ("model=cnn", "training.max_steps=1", "pictures=false", "gpu=-1")
    sides = {"empty Hydra app": (EMPTY, ()), "runwright": (OURS, small)}
    found: dict[str, list[Cost]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "conf").symlink_to(REPOSITORY / "conf")
        for number in range(rounds):
            for side in list(sides)[:: 1 if number % 2 else -1]:
                text, arguments = sides[side]
                script = folder / f"main_{side.split()[0]}.py"
                script.write_text(text)
                found[side].append(cost(script, *arguments))
    for side, costs in found.items():
        outside, inside, first, last = (
            statistics.median(values) for values in zip(*map(attrs.astuple, costs), strict=True)
        )
        print(f"{side}: {outside:.0f} ms a job outside the run, {inside:.0f} ms inside, ", end="")
        print(f"resident memory {first:.0f} → {last:.0f} MiB from job {FEW} to {MANY}")
    pairs = list(zip(found["runwright"], found["empty Hydra app"], strict=True))
    difference = statistics.median(ours.outside - empty.outside for ours, empty in pairs)
    ratio = statistics.median(ours.outside / empty.outside for ours, empty in pairs)
    print(f"difference {difference:+.0f} ms a job (target ≤ +20), ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
