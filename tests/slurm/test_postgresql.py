"""A study of Optuna in PostgreSQL."""

import subprocess
import sys

import optuna
import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

_FOUR_TRIALS = """
import sys, time
import optuna

study = optuna.load_study(study_name="shared", storage=sys.argv[1])

def objective(trial):
    trial.set_user_attr("process", sys.argv[2])
    # Until the other process has begun a trial too.
    while len({t.user_attrs.get("process") for t in study.get_trials(deepcopy=False)}) < 2:
        time.sleep(0.05)
    return trial.suggest_float("x", -1, 1) ** 2

study.optimize(objective, n_trials=4)
"""


def test_two_processes_share_the_trials_of_a_study(postgresql: str) -> None:
    storage = optuna.storages.RDBStorage(postgresql)
    study = optuna.create_study(study_name="shared", storage=storage)
    command = [sys.executable, "-c", _FOUR_TRIALS, postgresql]
    workers = [subprocess.Popen([*command, name]) for name in ("a", "b")]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    trials = study.trials
    assert [trial.number for trial in trials] == list(range(8))
    assert sorted(trial.user_attrs["process"] for trial in trials) == [*"aaaabbbb"]
    assert study.best_value == min(trial.params["x"] ** 2 for trial in trials)
    storage.remove_session()
    storage.engine.dispose()
