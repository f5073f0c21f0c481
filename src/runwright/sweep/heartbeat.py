"""Heartbeats of running trials, which tell live trials from abandoned ones.

Ours, not Optuna's, whose heartbeats only work with databases.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Generator
from collections.abc import Set as AbstractSet
from typing import Any, Final, cast

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial

from runwright.rundir.provenance import is_alive
from runwright.sweep import _optuna

HEARTBEAT: Final = "heartbeat"
"""User attribute of a trial: its last heartbeat, as (seconds since 1970, host, process)."""

_DEAD_AFTER: Final = 3
_LATE_AFTER: Final = 1.5


def send_heartbeat(study: optuna.Study, number: int, *, from_afar: bool = False) -> None:
    """Note that a trial is alive.

    Args:
        study: the study.
        number: the trial's.
        from_afar: whether it lives without this process, as a requeued job does.
    """
    sent = [time.time(), socket.gethostname(), None if from_afar else os.getpid()]
    with contextlib.suppress(UpdateFinishedTrialError):
        _optuna.set_attribute(study, _trial(study, number), HEARTBEAT, sent)


@contextlib.contextmanager
def heartbeats(study: optuna.Study, number: int, every: float) -> Generator[None]:
    """Send the heartbeats of a trial from a thread, within the context."""

    def beat() -> None:
        # A storage that is briefly unreachable must not end a training.
        with contextlib.suppress(Exception):
            send_heartbeat(study, number)

    with _repeated(beat, every):
        yield


@contextlib.contextmanager
def heartbeats_of_waiting(
    study: optuna.Study, own: AbstractSet[int], every: float
) -> Generator[None]:
    """Send the heartbeats of trials whose jobs cannot: they are waiting in a cluster's queue.

    Once the job sends its own, this stops: the last one must be from the process that decides
    whether the trial is alive.

    Args:
        study: the study.
        own: the numbers of the trials; other threads may add and remove some meanwhile.
        every: seconds between heartbeats.
    """

    def look() -> None:
        for number in tuple(own):
            with contextlib.suppress(Exception):  # the storage is briefly unreachable
                if _silent_for(_trial(study, number)) > _LATE_AFTER * every:
                    send_heartbeat(study, number)

    with _repeated(look, every):
        yield


@contextlib.contextmanager
def _repeated(do: Callable[[], None], every: float) -> Generator[None]:
    ended = threading.Event()

    def work() -> None:
        while True:
            do()
            if ended.wait(every):
                return

    thread = threading.Thread(target=work, daemon=True, name=do.__qualname__)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=every)


def is_dead(trial: FrozenTrial, every: float) -> bool:
    """Whether a running trial has lost its process."""
    last: Any = trial.user_attrs.get(HEARTBEAT)
    if last is not None:
        _, host, process = cast("tuple[float, str, int | None]", last)
        if process is not None and host == socket.gethostname() and not is_alive(process):
            return True
    return _silent_for(trial) > _DEAD_AFTER * every


def _silent_for(trial: FrozenTrial) -> float:
    """Seconds since the last heartbeat, or since the trial was started."""
    last: Any = trial.user_attrs.get(HEARTBEAT)
    if last is not None:
        return time.time() - last[0]
    started = trial.datetime_start
    return 0.0 if started is None else time.time() - started.timestamp()


def _trial(study: optuna.Study, number: int) -> FrozenTrial:
    return study.get_trials(deepcopy=False)[number]
