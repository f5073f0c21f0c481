"""The private parts of Optuna are still there."""

import inspect

import optuna
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from runwright.sweep import _optuna

ADVICE = (
    "Optuna has changed what runwright.sweep._optuna uses of it. Look for a public way to set a "
    "user attribute and the state of a trial by its number, atomically; or adapt that one file."
)


def test_the_private_parts_of_optuna_are_what_they_were() -> None:
    study = optuna.create_study()
    trial = study.ask()
    assert isinstance(getattr(study, "_storage", None), BaseStorage), ADVICE
    assert isinstance(getattr(study.trials[0], "_trial_id", None), int), ADVICE
    assert list(inspect.signature(optuna.Trial).parameters) == ["study", "trial_id"], ADVICE
    for method, parameters in {
        BaseStorage.set_trial_user_attr: ["self", "trial_id", "key", "value"],
        BaseStorage.set_trial_state_values: ["self", "trial_id", "state", "values"],
    }.items():
        assert list(inspect.signature(method).parameters) == parameters, ADVICE
    _optuna.set_attribute(study, study.trials[0], "why", "a test")
    assert _optuna.running_trial(study, study.trials[0]).user_attrs == {"why": "a test"}, ADVICE
    _optuna.set_failed(study, study.trials[trial.number])
    assert study.trials[0].state is TrialState.FAIL, ADVICE
