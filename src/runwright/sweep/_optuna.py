"""Optuna's private parts: its storages change a trial atomically, but only by internal id.

`tests/sweep/test_optuna.py` says what to do when Optuna changes it.
"""

# pyright: reportPrivateUsage=false

from typing import Any

from optuna import Study, Trial
from optuna.trial import FrozenTrial, TrialState


def running_trial(study: Study, trial: FrozenTrial) -> Trial:
    """A running trial, to report to."""
    return Trial(study, trial._trial_id)


def set_attribute(study: Study, trial: FrozenTrial, name: str, value: Any) -> None:
    """Set a user attribute of a trial.

    Raises:
        UpdateFinishedTrialError: the trial has ended.
    """
    study._storage.set_trial_user_attr(trial._trial_id, name, value)


def set_failed(study: Study, trial: FrozenTrial) -> None:
    """End a trial as failed.

    Raises:
        UpdateFinishedTrialError: the trial has ended.
    """
    study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
