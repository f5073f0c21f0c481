"""Submitting an array of 1,000 jobs to Slurm: runwright's launcher against submitit alone.

    python benchmarks/submission.py        # after tests/install; starts a Slurm of its own

submitit alone pickles a function with a number for each job. runwright composes, checks and sends
the whole configuration of each, with what Hydra needs to run it. Jobs are held, none runs. Time and
memory are those of the whole process, including imports.
"""

# The tests' own Slurm lies outside the packages that the type checker knows here.
# pyright: reportMissingImports=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

ALONE = """
import sys
import submitit
executor = submitit.AutoExecutor(folder=sys.argv[1], cluster="slurm")
executor.update_parameters(timeout_min=60, mem_gb=1, slurm_additional_parameters={"hold": True},
                           slurm_array_parallelism=256)
executor.map_array(print, range(int(sys.argv[2])))
"""


def measured(command: list[str], env: dict[str, str], folder: str) -> tuple[float, float]:
    """Seconds and MiB that a command took."""
    started = time.perf_counter()
    with (Path(folder) / "output").open("w") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **env}, cwd=folder, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command} failed:\n{(Path(folder) / 'output').read_text()[-2000:]}")
    process.returncode = 0
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def main() -> None:
    """Print the ratios."""
    from slurm.slurm import running_slurm

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=1000)
    args = parser.parse_args()
    launcher = ("hydra/launcher=slurm/cpu", "+hydra.launcher.additional_parameters.hold=true")
    seeds = "seed=range(0," + str(args.jobs) + ")"
    ours = [sys.executable, str(REPOSITORY / "main.py"), "--multirun", *launcher, seeds]
    ours += ["hydra.launcher.detached=true", "hydra.sweep.dir=sweep"]
    with running_slurm() as slurm, tempfile.TemporaryDirectory() as folder:
        alone = measured([sys.executable, "-c", ALONE, folder, str(args.jobs)], slurm.env, folder)
        slurm.cancel_everything()
        with_configuration = measured(ours, slurm.env, folder)
        slurm.cancel_everything()
    for name, (seconds, memory) in (("submitit", alone), ("runwright", with_configuration)):
        ratios = f"ratios {seconds / alone[0]:.2f} and {memory / alone[1]:.2f}"
        print(f"{name}: {seconds:.1f} s, {memory:.0f} MiB for {args.jobs} jobs, {ratios}")


if __name__ == "__main__":
    main()
