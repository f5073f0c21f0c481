"""The study: where its trials are kept, and what keeps them alive.

A trial is RUNNING from the moment that it is given out until its own process tells how it ended,
so what is told survives the process that started the sweep. Meanwhile whoever looks after it gives
signs of life. A trial without them is taken up again, by one sweeper only, in its old directory.
"""

# Atomic changes of a trial's state are the storage's own business.
# pyright: reportPrivateUsage=false

import contextlib
import os
import socket
import threading
import time
import uuid
import warnings
from collections.abc import Generator, Iterable
from collections.abc import Set as AbstractSet
from typing import Any, Final, cast

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from runwright.errors import UserError
from runwright.rundir.provenance import is_alive
from runwright.sweep.storage import Patience, open_storage

ALIVE: Final = "alive"
"""User attribute: the last sign of life, as (seconds since 1970, host, process)."""

DIRECTORY: Final = "directory"
"""User attribute: where the trial's run is."""

BY_HAND: Final = "by_hand"
"""User attribute: that the trial was queued by hand."""

RETRY_OF: Final = "retry_of"
"""User attribute: the numbers of the trials that this one continues."""

DEATHS: Final = "deaths"
"""User attribute: how often its process has died since the trial had come further."""

REACHED: Final = "reached"
"""User attribute: the last step that was reported when the trial was taken up again."""

OVERRIDES: Final = "overrides"
"""User attribute: the command line of the trial."""

REPLACED: Final = "replaced"
"""User attribute of the study, with a number behind it: that trial does not count."""

SWEEPER: Final = "sweeper"
"""User attribute of the study, with a name behind it: that sweeper has worked on it."""

GIVEN_UP: Final = "its process died"
"""What the user attribute "error" says of a trial that is not taken up any more."""

_CONTINUED: Final = "its process ended; another trial continues it"
_STALE_AFTER: Final = 3
_QUIET_AFTER: Final = 1.5


def trials(study: optuna.Study, *states: TrialState) -> list[FrozenTrial]:
    """The trials in these states, as they are in the storage now."""
    return study.get_trials(deepcopy=False, states=states or None)


def trial_of(study: optuna.Study, number: int) -> FrozenTrial:
    """A trial as it is in the storage now."""
    return study.get_trials(deepcopy=False)[number]


def running(study: optuna.Study, number: int) -> optuna.Trial:
    """A trial that was given out, to report to.

    Raises:
        UserError: it has ended.
    """
    frozen = trial_of(study, number)
    if frozen.state is not TrialState.RUNNING:
        raise UserError(
            f"Trial {number} of the study '{study.study_name}' is {frozen.state.name}: it has "
            "ended, or another process continues it."
        )
    return optuna.Trial(study, frozen._trial_id)


def give_sign_of_life(study: optuna.Study, number: int, *, from_afar: bool = False) -> None:
    """Note that somebody looks after a trial.

    Args:
        study: the study.
        number: the trial's.
        from_afar: whether it lives without this process, as a job that is queued again does.
    """
    sign = [time.time(), socket.gethostname(), None if from_afar else os.getpid()]
    with contextlib.suppress(UpdateFinishedTrialError):
        study._storage.set_trial_user_attr(trial_of(study, number)._trial_id, ALIVE, sign)


@contextlib.contextmanager
def kept_alive(study: optuna.Study, number: int, every: float) -> Generator[None]:
    """Give signs of life of a trial from a thread, while the context lasts."""
    ended = threading.Event()

    def beat() -> None:
        while True:
            # A storage out of reach for a moment must not end a training.
            with contextlib.suppress(Exception):
                give_sign_of_life(study, number)
            if ended.wait(every):
                return

    thread = threading.Thread(target=beat, daemon=True, name=f"alive-{number}")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=every)


@contextlib.contextmanager
def looked_after(study: optuna.Study, own: AbstractSet[int], every: float) -> Generator[None]:
    """Give signs of life of those trials whose jobs do not: they wait in a cluster's queue.

    Where the job gives its own, this keeps silent: the last sign must be of the process that
    decides whether the trial lives.

    Args:
        study: the study.
        own: the numbers of the trials; others may add to it and take from it meanwhile.
        every: seconds between signs.
    """
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(every):
            for number in tuple(own):
                with contextlib.suppress(Exception):  # the storage is out of reach for a moment
                    if _quiet_for(trial_of(study, number)) > _QUIET_AFTER * every:
                        give_sign_of_life(study, number)

    thread = threading.Thread(target=look, daemon=True, name="looked-after")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=every)


def is_dead(trial: FrozenTrial, every: float) -> bool:
    """Whether nobody looks after a running trial any more."""
    sign: Any = trial.user_attrs.get(ALIVE)
    if sign is not None:
        _, host, process = cast("tuple[float, str, int | None]", sign)
        if process is not None and host == socket.gethostname() and not is_alive(process):
            return True
    return _quiet_for(trial) > _STALE_AFTER * every


def _quiet_for(trial: FrozenTrial) -> float:
    """Seconds since the last sign of life, or since the trial was given out."""
    sign: Any = trial.user_attrs.get(ALIVE)
    if sign is not None:
        return time.time() - sign[0]
    started = trial.datetime_start
    return 0.0 if started is None else time.time() - started.timestamp()


def take_up_again(study: optuna.Study, left: FrozenTrial, retries: int | None) -> bool:
    """Queue what is left of a trial, with what it had reported, in the same directory.

    Of several sweepers that notice, one does so.

    Args:
        study: the study.
        left: the trial, whose process has ended.
        retries: how often a process may die without having come further than the one before it;
            None when it was stopped in order, which does not count.

    Returns:
        Whether this one did.
    """
    reached = max(left.intermediate_values, default=-1)
    came_further = reached > left.user_attrs.get(REACHED, -1)
    deaths = 0 if came_further else left.user_attrs.get(DEATHS, 0)
    if retries is not None:
        deaths += 1
        if deaths > retries:
            fail(study, left.number, GIVEN_UP)
            return False
    replace(study, left.number)  # first, so that it never counts beside the one that follows
    if not fail(study, left.number, _CONTINUED):
        return False
    queue_again(study, left, {DEATHS: deaths, REACHED: reached})
    return True


def queue_again(study: optuna.Study, left: FrozenTrial, counts: dict[str, int]) -> None:
    """Queue what is left of a trial, with these counts of its deaths."""
    kept = {name: value for name, value in left.user_attrs.items() if name not in (ALIVE, "error")}
    history = [*left.user_attrs.get(RETRY_OF, []), left.number]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                params=left.params,
                distributions=left.distributions,
                user_attrs={**kept, **counts, RETRY_OF: history},
                system_attrs=left.system_attrs,
                intermediate_values=left.intermediate_values,
            )
        )


def queue_the_lost(study: optuna.Study) -> None:
    """Queue what a sweeper that was killed in the middle of `take_up_again` did not."""
    gone = replaced(study)
    found = trials(study)
    continued = {number for trial in found for number in trial.user_attrs.get(RETRY_OF, [])}
    for trial in found:
        is_lost = trial.number in gone - continued and trial.user_attrs.get("error") == _CONTINUED
        if is_lost and trial.state is TrialState.FAIL:
            queue_again(study, trial, {})


def is_queued_twice(study: optuna.Study, number: int) -> bool:
    """Whether a trial was queued although one before it is the same.

    Two sweepers that start together both find that the study has had no such trial.
    """
    *before, trial = trials(study)[: number + 1]
    what = _queued_for(trial)
    return what is not None and any(_queued_for(other) == what for other in before)


def _queued_for(trial: FrozenTrial) -> Any:
    """The trials that a queued one continues, or the values that were queued by hand; or None."""
    if RETRY_OF in trial.user_attrs:
        return trial.user_attrs[RETRY_OF]
    return trial.system_attrs["fixed_params"] if BY_HAND in trial.user_attrs else None


def fail(study: optuna.Study, number: int, why: str) -> bool:
    """End a running trial as failed, unless somebody else has ended it; whether this one did."""
    trial_id = trial_of(study, number)._trial_id
    with contextlib.suppress(UpdateFinishedTrialError):
        study._storage.set_trial_user_attr(trial_id, "error", why)
        study._storage.set_trial_state_values(trial_id, TrialState.FAIL)
        return True
    return False


def replace(study: optuna.Study, number: int) -> None:
    """Note that a trial does not count: another one continues it, or it was one too many.

    Should it come to its end all the same, it counts.
    """
    study.set_user_attr(f"{REPLACED}:{number}", True)


def replaced(study: optuna.Study) -> set[int]:
    """The numbers of the trials that do not count, unless they came to their end."""
    prefix = f"{REPLACED}:"
    return {int(n.removeprefix(prefix)) for n in study.user_attrs if n.startswith(prefix)}


def counting(study: optuna.Study, found: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """The trials among these that count."""
    gone = replaced(study)
    whole = (TrialState.COMPLETE, TrialState.PRUNED)
    return [trial for trial in found if trial.state in whole or trial.number not in gone]


def sweepers_before(study: optuna.Study) -> int:
    """Note that one more sweeper works on the study; returns how many came before it."""
    mine = f"{SWEEPER}:{time.time():.6f}-{uuid.uuid4().hex}"
    study.set_user_attr(mine, [socket.gethostname(), os.getpid()])
    return sorted(n for n in study.user_attrs if n.startswith(f"{SWEEPER}:")).index(mine)


def load(where: str, name: str, **parts: Any) -> optuna.Study:
    """Open a study that exists, if need be when its storage answers again."""
    storage = Patience().until_answered(open_storage, where)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return optuna.load_study(study_name=name, storage=storage, **parts)


def create(
    where: str, name: str, directions: list[str], sampler: BaseSampler, pruner: Any
) -> optuna.Study:
    """Open a study, or make it.

    Raises:
        UserError: there is one of that name which optimises in another direction.
    """
    study = optuna.create_study(
        study_name=name,
        storage=open_storage(where),
        sampler=sampler,
        pruner=pruner,
        directions=cast("Any", directions),
        load_if_exists=True,
    )
    recorded = [direction.name.lower() for direction in study.directions]
    if recorded != directions:
        raise UserError(
            f"hydra.sweeper.study_name={name}: the study of that name in {where} is to "
            f"{' and '.join(recorded)}, not to {' and '.join(directions)}. Take another name."
        )
    return study
