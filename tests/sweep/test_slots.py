"""A slot that is free starts the next trial, whatever the other slots do."""

from pathlib import Path

import pytest
from optuna.trial import TrialState

from conftest import SMALL, Run
from sweep.conftest import study

pytestmark = pytest.mark.slow

# One long trial, and two short ones that another slot can do meanwhile.
UNEVEN = (
    "hydra.sweeper.enqueue=[{training.max_steps: 2000}, {training.max_steps: 1}, "
    "{training.max_steps: 2}]"
)


@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local"])
def test_no_trial_waits_for_the_slowest(run_main: Run, tmp_path: Path, launcher: str) -> None:
    done = run_main(
        *("--multirun", "hydra/sweeper=runwright", f"hydra/launcher={launcher}"),
        *("hydra/sweeper/pruner=none", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=2"),
        *("hydra.sweep.dir=sweep", "training.max_steps=range(1,3000)", UNEVEN),
        *(*SMALL, "training.epochs=100", "training.val_every=1000"),
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    long, *short = study(tmp_path / "sweep").trials
    assert all(trial.state is TrialState.COMPLETE for trial in (long, *short))
    assert long.datetime_complete is not None
    starts = [trial.datetime_start for trial in short]
    assert all(start is not None and start < long.datetime_complete for start in starts)
