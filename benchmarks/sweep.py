"""A sweep of 32 trials of uneven lengths: runwright's sweeper against the stock Optuna sweeper.

    python benchmarks/sweep.py        # needs `pip install hydra-joblib-launcher==1.4.0rc3`

Both try the same 32 sets of values, drawn with the same seed, with the same number of jobs at a
time: the stock sweeper with the joblib launcher, runwright with its own processes. A trial waits
in every step, as for a device, for a time that is one of the values; so trials differ in length by
a factor of fifty, and two cores are enough for all. Times include the starts of the processes.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

APP = Path(__file__).parent / "waiting_app.py"
COMMON = (
    *("+dm=line", "+model=waiting", "gpu=-1", "pictures=false", "training.epochs=180"),
    *("opt.schedule=constant", "opt.lr=tag(log, interval(1e-4, 1e-1))"),
    "model.seconds=tag(log, interval(0.002, 0.1))",
    *("hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=0"),
)
SIDES = {
    "stock": ("hydra/sweeper=optuna", "hydra/launcher=joblib", "hydra.launcher.n_jobs={jobs}"),
    "runwright": ("hydra/sweeper=runwright", "hydra/sweeper/pruner=none"),
    "runwright, pruned": (
        "hydra/sweeper=runwright",
        "hydra/sweeper/pruner=median",
        "hydra.sweeper.pruner.n_startup_trials=4",
        "hydra.sweeper.pruner.n_warmup_steps=8",
    ),
}


def timed(side: str, trials: int, jobs: int) -> tuple[float, float]:
    """Seconds that a sweep took, and its best value."""
    with tempfile.TemporaryDirectory() as folder:
        options = [one.format(jobs=jobs) for one in SIDES[side]]
        counts = [f"hydra.sweeper.n_trials={trials}", f"hydra.sweeper.n_jobs={jobs}"]
        command = [sys.executable, str(APP), "--multirun", *COMMON, *options, *counts]
        started = time.perf_counter()
        done = subprocess.run(
            [*command, f"hydra.sweep.dir={folder}"], capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - started
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        found = yaml.safe_load((Path(folder) / "optimization_results.yaml").read_text())
        return seconds, found["best_value"]


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--jobs", type=int, default=8)
    args = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {side: [] for side in SIDES}
    for number in range(args.rounds):
        order = list(SIDES)[number % len(SIDES) :] + list(SIDES)[: number % len(SIDES)]
        for side in order:
            found[side].append(timed(side, args.trials, args.jobs))
    print(f"{args.trials} trials, {args.jobs} at a time, medians of {args.rounds}")
    stock = [seconds for seconds, _ in found["stock"]]
    for side, target in (
        ("stock", ""),
        ("runwright", " (target ≤ 0.6)"),
        ("runwright, pruned", " (target ≤ 0.35)"),
    ):
        times = [seconds for seconds, _ in found[side]]
        ratio = statistics.median(a / b for a, b in zip(times, stock, strict=True))
        best = statistics.median(value for _, value in found[side])
        print(
            f"{side}: {statistics.median(times):.1f} s, ratio {ratio:.2f}{target}, best {best:.5f}"
        )


if __name__ == "__main__":
    main()
