"""A study whose trials are abandoned, and whose storage is torn or unreachable."""

import logging
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from runwright import UserError
from runwright.sweep import heartbeat, storage, study
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
    assert "unreachable" in first
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


def dead(opened: optuna.Study, number: int) -> optuna.trial.FrozenTrial:
    return study.trial_of(opened, number)


def asked_again(opened: optuna.Study, further: int | None = None) -> int:
    """The trial that continues another, which may come further than that one."""
    trial = opened.ask()
    if further is not None:
        trial.report(0.5, step=further)
    return trial.number


def test_only_processes_that_die_in_vain_use_up_the_retries(
    opened: Callable[[], optuna.Study],
) -> None:
    one = opened()
    number = given_out(one)
    for _ in range(4):  # Ctrl-C, and the same command again
        assert study.retry(one, dead(one, number), retries=None)
        number = asked_again(one)
    for step in (4, 5, 6, 7):  # a machine that is restarted every night
        assert study.retry(one, dead(one, number), retries=2)
        number = asked_again(one, further=step)
    for _ in range(2):
        assert study.retry(one, dead(one, number), retries=2)
        number = asked_again(one)
    assert not study.retry(one, dead(one, number), retries=2)
    assert dead(one, number).user_attrs["error"] == study.GIVEN_UP
    assert [trial.number for trial in study.counting(one, study.trials(one))] == [number]


def test_a_trial_that_ends_just_then_counts(opened: Callable[[], optuna.Study]) -> None:
    one = opened()
    number = given_out(one)
    before = dead(one, number)
    opened().tell(number, 0.9)
    assert not study.retry(one, before, retries=2)
    assert [trial.value for trial in study.counting(one, study.trials(one))] == [0.9]


def test_what_a_killed_sweeper_had_no_time_to_queue_is_queued_once(
    opened: Callable[[], optuna.Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = opened()
    number = given_out(one)

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(study, "requeue", killed)
        with pytest.raises(KeyboardInterrupt):
            study.retry(one, dead(one, number), retries=2)
    study.requeue_lost(one)
    study.requeue_lost(one)
    (waiting,) = study.trials(one, TrialState.WAITING)
    assert waiting.params == dead(one, number).params
    # Of two that notice at the same moment, the first one's is run.
    study.requeue(one, dead(one, number), {})
    assert [study.is_queued_twice(one, trial) for trial in (1, 2)] == [False, True]


def test_a_trial_that_was_never_submitted_was_never_begun(
    opened: Callable[[], optuna.Study],
) -> None:
    one = opened()
    one.enqueue_trial({"x": 0.25}, {study.ENQUEUED: True})
    numbers = [given_out(one) for _ in range(2)]
    for number in numbers:
        study.running(one, number).set_user_attr(study.OVERRIDES, ["partition=nowhere"])
        study.withdraw(one, number)
    assert study.counting(one, study.trials(one, TrialState.FAIL, TrialState.RUNNING)) == []
    waiting = study.trials(one, TrialState.WAITING)
    assert [trial.params for trial in waiting] == [dead(one, n).params for n in numbers]
    assert not any(study.OVERRIDES in trial.user_attrs for trial in waiting)
    assert not any(study.is_queued_twice(one, trial.number) for trial in waiting)
    study.requeue_lost(one)
    assert len(study.trials(one, TrialState.WAITING)) == 2


def test_a_job_that_is_queued_again_is_alive_although_its_process_is_gone(
    opened: Callable[[], optuna.Study],
) -> None:
    one = opened()
    number = given_out(one)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    sign = [time.time(), socket.gethostname(), gone.pid]
    study.running(one, number).set_user_attr(heartbeat.HEARTBEAT, sign)
    assert heartbeat.is_dead(dead(one, number), every=60)
    heartbeat.send_heartbeat(one, number, from_afar=True)
    assert not heartbeat.is_dead(dead(one, number), every=60)
    time.sleep(0.1)
    assert heartbeat.is_dead(dead(one, number), every=0.01)


def test_a_storage_is_the_same_from_every_working_directory(tmp_path: Path) -> None:
    assert storage.absolute("study.log") == str(tmp_path / "study.log")
    url = storage.absolute("sqlite:///study.db?timeout=5")
    assert url == f"sqlite:///{tmp_path / 'study.db'}?timeout=5"
    shared = "postgresql+psycopg://user:secret@host/name"
    assert storage.absolute(shared) == shared


@pytest.mark.parametrize("where", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(where: str) -> None:
    with pytest.raises(UserError, match="in memory is not seen by the trials"):
        storage.absolute(where)
