"""A sweep of 32 trials of uneven lengths: runwright's sweeper against the stock Optuna sweeper.

    python benchmarks/sweep.py        # needs `pip install hydra-joblib-launcher==1.4.0rc3`

Both try the same 32 sets of values, drawn with the same seed (a new one each round), with the same
number of jobs at a time: the stock sweeper with the joblib launcher, runwright with its own
processes. A trial waits in every step, as for a device, for a time that is one of the values; so
trials differ in length by a factor of fifty, and two cores are enough for all. Times include the
starts of the processes. How much there is to win depends on which trials are the long ones: the
median is over the rounds, each of which takes about nine minutes.
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
    *("+dm=line", "+model=waiting", "gpu=-1", "pictures=false", "training.epochs=120"),
    "training.val_every=16",  # steps: two epochs
    *("opt.schedule=constant", "opt.lr=tag(log, interval(1e-4, 1e-1))"),
    "model.seconds=tag(log, interval(0.003, 0.15))",
    "hydra/sweeper/sampler=random",
)
SIDES = {
    "stock": ("hydra/sweeper=optuna", "hydra/launcher=joblib", "hydra.launcher.n_jobs={jobs}"),
    "runwright": ("hydra/sweeper=runwright", "hydra/sweeper/pruner=none"),
    "runwright, pruned": (
        "hydra/sweeper=runwright",
        "hydra/sweeper/pruner=median",
        "hydra.sweeper.pruner.n_startup_trials=1",
        "hydra.sweeper.pruner.n_warmup_steps=48",  # six epochs of 120
    ),
}
TARGETS = {"runwright": 0.6, "runwright, pruned": 0.35}


def timed(side: str, trials: int, jobs: int, seed: int) -> tuple[float, float]:
    """Seconds that a sweep took, and its best value."""
    with tempfile.TemporaryDirectory() as folder:
        options = [one.format(jobs=jobs) for one in SIDES[side]]
        counts = [f"hydra.sweeper.n_trials={trials}", f"hydra.sweeper.n_jobs={jobs}"]
        counts.append(f"hydra.sweeper.sampler.seed={seed}")
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
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--jobs", type=int, default=8)
    args = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {side: [] for side in SIDES}
    for number in range(args.rounds):
        order = list(SIDES)[number % len(SIDES) :] + list(SIDES)[: number % len(SIDES)]
        for side in order:
            found[side].append(timed(side, args.trials, args.jobs, seed=number))
            print(f"round {number}, {side}: {found[side][-1][0]:.1f} s", flush=True)
    print(f"{args.trials} trials, {args.jobs} at a time, medians of {args.rounds}")
    for side, measured in found.items():
        ratios = [
            mine / stock for (mine, _), (stock, _) in zip(measured, found["stock"], strict=True)
        ]
        worse = max(
            best - stock for (_, best), (_, stock) in zip(measured, found["stock"], strict=True)
        )
        target = f" (target ≤ {TARGETS[side]})" if side in TARGETS else ""
        print(
            f"{side}: {statistics.median(seconds for seconds, _ in measured):.1f} s, ratio "
            f"{statistics.median(ratios):.2f}{target} of {', '.join(f'{r:.2f}' for r in ratios)}; "
            f"best value worse by {worse:.5f} at most"
        )


if __name__ == "__main__":
    main()
