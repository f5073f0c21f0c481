"""A free slot starts the next trial, whatever the other slots do."""

import logging
import threading
from pathlib import Path

import pytest
from optuna.trial import TrialState

from conftest import SMALL, Run, last_of_each
from runwright.sweep.slots import Assignment, Ended, work_through
from sweep.conftest import study


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "steps"), [("basic", 500), ("joblib", 500), ("submitit_local", 1500)]
)
def test_no_trial_waits_for_the_slowest(
    run_main: Run, tmp_path: Path, launcher: str, steps: int
) -> None:
    # One long trial, and two short ones that another slot can do meanwhile.
    short = "{training.max_steps: 1}, {training.max_steps: 2}"
    uneven = f"hydra.sweeper.enqueue=[{{training.max_steps: {steps}}}, {short}]"
    done = run_main(
        *("--multirun", "hydra/sweeper=runwright", f"hydra/launcher={launcher}"),
        *("hydra/sweeper/pruner=none", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=2"),
        *("hydra.sweep.dir=sweep", "training.max_steps=range(1,3000)", uneven),
        *last_of_each(*SMALL, "training.epochs=100", "training.val_every=1000"),
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    long, *others = study(tmp_path / "sweep").trials
    assert all(trial.state is TrialState.COMPLETE for trial in (long, *others))
    assert long.datetime_complete is not None
    starts = [trial.datetime_start for trial in others]
    assert all(start is not None and start < long.datetime_complete for start in starts)


class Idle:
    """A slot that is given nothing."""

    def run(self, assignment: Assignment) -> Ended:
        raise AssertionError(assignment)

    def interrupt(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_an_error_in_a_slot_is_said_while_the_others_work(caplog: pytest.LogCaptureFixture) -> None:
    first = threading.Lock()

    def next_trial() -> Assignment | None:
        if first.acquire(blocking=False):
            raise KeyError("x")
        for _ in range(500):
            if caplog.records:
                return None
            threading.Event().wait(0.01)
        raise AssertionError("nothing was said")

    def done(assignment: Assignment, ended: Ended) -> None:
        raise AssertionError(assignment, ended)

    with caplog.at_level(logging.ERROR), pytest.raises(KeyError, match="x"):
        work_through(2, Idle, next_trial, done)
    (record,) = caplog.records
    assert "A slot ended; the others continue: KeyError: 'x'" in record.getMessage()
    assert record.exc_info is not None
