"""What a job of a multirun costs beside its training, against an empty Hydra application.

    taskset -c 0 python benchmarks/multirun.py

A process with 10 jobs of one training step each, and one with 110: the difference is what 100 jobs
cost, composing and checking them included. Printed are the time a job outside `Config.run()`, the
same for an empty Hydra application, the time a job inside `Config.run()`, and the growth of the
resident memory over the last 100 jobs.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
from runwright import app
from runwright.run import Config
run = Config.run
def timed(self, run_dir=None):
    started = time.perf_counter()
    value = run(self, run_dir)
    note(time.perf_counter() - started)
    return value
Config.run = timed
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


def main() -> None:
    """Print the figures."""
    small = ("model=cnn", "training.max_steps=1", "pictures=false", "gpu=-1")
    per_job: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "conf").symlink_to(REPOSITORY / "conf")
        for who, text, arguments in (("empty Hydra app", EMPTY, ()), ("runwright", OURS, small)):
            script = folder / f"main_{who.split()[0]}.py"
            script.write_text(text)
            few, many = (measure(script, jobs, *arguments) for jobs in (FEW, MANY))
            per_job[who] = (many[0] - few[0]) / (MANY - FEW)
            print(f"{who}: {1e3 * per_job[who]:.0f} ms a job outside the run, ", end="")
            print(f"{1e3 * (many[1] - few[1]) / (MANY - FEW):.0f} ms inside, ", end="")
            print(f"resident memory {many[2]:.0f} → {many[3]:.0f} MiB from job {FEW} to {MANY}")
    ours, theirs = per_job["runwright"], per_job["empty Hydra app"]
    difference = 1e3 * (ours - theirs)
    print(f"difference {difference:+.0f} ms a job (target ≤ +20), ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
