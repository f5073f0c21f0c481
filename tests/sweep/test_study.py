"""What a storage out of reach does to a study."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Generator

import optuna
import pytest
from optuna.samplers import RandomSampler

from runwright.sweep import storage, study
from runwright.sweep.trial import Validations
from sweep.conftest import close


@pytest.fixture(params=["journal.log", "sqlite:///study.db?timeout=0.05"])
def where(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def opened(where: str) -> Generator[Callable[[], optuna.Study]]:
    """Open the study as another process would."""
    studies: list[optuna.Study] = []

    def open_it() -> optuna.Study:
        pruner = optuna.pruners.NopPruner()
        parts = (["minimize"], RandomSampler(seed=1), pruner)
        studies.append(study.create(where, "shared", *parts))
        return studies[-1]

    yield open_it
    for one in studies:
        if "://" in where:
            close(one)


def given_out(opened: optuna.Study) -> int:
    trial = opened.ask()
    trial.suggest_float("x", 0, 1)
    trial.report(0.5, step=3)
    return trial.number


class Locked:
    """Holds the database for itself, as a backup does."""

    def __init__(self, seconds: float) -> None:
        self._holds = threading.Event()
        self._seconds = seconds
        self._thread = threading.Thread(target=self._hold)

    def _hold(self) -> None:
        connection = sqlite3.connect("study.db", timeout=10)
        connection.execute("BEGIN EXCLUSIVE")
        self._holds.set()
        time.sleep(self._seconds)
        connection.close()

    def __enter__(self) -> None:
        self._thread.start()
        self._holds.wait()

    def __exit__(self, *error: object) -> None:
        self._thread.join()


@pytest.mark.parametrize("where", ["sqlite:///study.db?timeout=0.05"], indirect=True)
def test_a_storage_out_of_reach_is_asked_until_it_answers(
    opened: Callable[[], optuna.Study], caplog: pytest.LogCaptureFixture
) -> None:
    ours = opened()
    with caplog.at_level(logging.INFO, "runwright"), Locked(1.2):
        number = given_out(ours)
        ours.tell(number, [0.25])
    assert study.trial_of(ours, number).value == 0.25
    assert study.trial_of(ours, number).intermediate_values == {3: 0.5}
    said = [one.getMessage() for one in caplog.records if one.name == storage.__name__]
    first, last = said
    assert "out of reach" in first
    assert "database is locked" in first
    assert "answers again" in last


@pytest.mark.parametrize("where", ["sqlite:///study.db?timeout=0.05"], indirect=True)
def test_a_report_that_cannot_be_delivered_goes_with_the_next(
    opened: Callable[[], optuna.Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = opened()
    validations = Validations(ours.ask())
    monkeypatch.setattr(storage, "_PAUSES", (0.05,))
    assert validations.report(1, 0.1) is False
    with Locked(1.0):
        assert validations.report(2, 0.2) is False
        with pytest.raises(optuna.exceptions.StorageInternalError):
            study.trials(ours)
    assert validations.report(3, 0.3) is False
    assert study.trial_of(ours, 0).intermediate_values == {1: 0.1, 2: 0.2, 3: 0.3}
