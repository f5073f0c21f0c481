"""How long the table of a thousand runs takes, as a ratio to only reading their files.

    taskset -c 0 python benchmarks/results.py

The runs are copies of one, with learning rates and seeds of their own. Both are timed in turn, in
CPU time; the ratio is the median over the pairs.
"""

import contextlib
import csv
import io
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from runwright import compose
from runwright.__main__ import main as run_tool

RUNS = 1000
ROUNDS = 5
REPOSITORY = Path(__file__).parent.parent
OPTIONS = ("model=cnn", "training.max_steps=20", "training.val_every=5", "gpu=-1", "pictures=false")


def make_runs(folder: Path) -> list[Path]:
    """Train once, and copy what the run left behind."""
    original = folder / "original"
    with contextlib.redirect_stdout(io.StringIO()):
        compose(OPTIONS, conf=REPOSITORY / "conf").run(original)
    record = (original / "config.yaml").read_text()
    runs = [folder / "runs" / str(number) for number in range(RUNS)]
    for number, run in enumerate(runs):
        run.mkdir(parents=True)
        for name in ("environment.json", "metrics.csv", "result.json"):
            shutil.copy(original / name, run / name)
        changed = record.replace("lr: 5.0e-05", f"lr: {1 + number // 10}e-05")
        (run / "config.yaml").write_text(changed.replace("seed: 42", f"seed: {number % 10}"))
    return runs


def seconds(work: Callable[[], object]) -> float:
    """The CPU time of some work."""
    before = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        work()
    return time.process_time() - before


def read_files(runs: list[Path]) -> None:
    """Read everything that the table is made of."""
    for run in runs:
        yaml.load((run / "config.yaml").read_text(), yaml.CSafeLoader)
        json.loads((run / "environment.json").read_text())
        json.loads((run / "result.json").read_text())
        list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))


def main() -> None:
    """Print the ratio."""
    with tempfile.TemporaryDirectory() as folder:
        runs = make_runs(Path(folder))
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(ROUNDS + 1):
            theirs.append(seconds(lambda: read_files(runs)))
            ours.append(seconds(lambda: run_tool(["results", str(runs[0].parent)])))
        ratio = statistics.median(a / b for a, b in zip(ours[1:], theirs[1:], strict=True))
        print(
            f"{RUNS} runs: the table {statistics.median(ours[1:]):.2f} s, reading their files "
            f"{statistics.median(theirs[1:]):.2f} s, ratio {ratio:.2f}",
            file=sys.stdout,
        )


if __name__ == "__main__":
    main()
