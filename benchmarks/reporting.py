"""What it costs a run to report its validations to a trial, as a share of its steps.

    taskset -c 0 python benchmarks/reporting.py

A run of the default network is timed alone and as a trial of a study with a journal file and the
median pruner, with 50 ended trials; it validates once per epoch, and nothing is pruned.
The difference of two such times drowns in noise, so the reports themselves are timed.
"""

import statistics
import tempfile
import time
from pathlib import Path

import optuna
import torch

from runwright import compose
from runwright.caller import Caller
from runwright.run import run
from runwright.sweep import study as studies
from runwright.sweep.trial import Validations

EPOCHS = 10


class Timed(Validations):
    """Notes how long each report took."""

    seconds: list[float]

    def report(self, step: int, value: float) -> bool:
        """Report, and note the time."""
        started = time.perf_counter()
        super().report(step, value)
        self.seconds.append(time.perf_counter() - started)
        return False


def main() -> None:
    """Print the share."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    config = compose(["dm=cmnist", "model=fcn", "gpu=-1", f"training.epochs={EPOCHS}"])
    steps = EPOCHS * 62
    with tempfile.TemporaryDirectory() as folder:
        where = str(Path(folder) / "study.log")
        pruner = optuna.pruners.MedianPruner()
        sampler = optuna.samplers.RandomSampler()
        study = studies.create(where, "reporting", ["maximize"], sampler, pruner)
        for _ in range(50):
            trial = study.ask()
            for epoch in range(EPOCHS):
                trial.report(0.5, 62 * (epoch + 1))
            study.tell(trial, 0.5)
        trial = study.ask()
        reporter = Timed(studies.running(study, trial.number))
        reporter.seconds = []
        started = time.perf_counter()
        run(config, Path(folder) / "run", Caller(reporter=reporter))
        seconds = time.perf_counter() - started
    share = sum(reporter.seconds) / seconds
    middle = 1e3 * statistics.median(reporter.seconds)
    print(
        f"{len(reporter.seconds)} reports in {steps} steps, each {middle:.1f} ms; "
        f"{1e3 * seconds / steps:.1f} ms a step; {100 * share:.2f} % of the time (target < 1 %)"
    )


if __name__ == "__main__":
    main()
