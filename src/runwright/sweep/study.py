"""The study: where its trials are kept, and what happens to abandoned ones.

A trial is RUNNING from the moment it is handed out until its own process reports how it ended, so
results survive the process that started the sweep. Meanwhile the process that runs it sends
heartbeats. A trial without them is retried, by only one sweeper, in its old directory.
"""

import contextlib
import os
import socket
import time
import uuid
import warnings
from collections.abc import Iterable
from typing import Any, Final, cast

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from runwright.errors import UserError
from runwright.sweep import _optuna
from runwright.sweep.heartbeat import HEARTBEAT
from runwright.sweep.storage import Patience, open_storage

DIRECTORY: Final = "directory"
"""User attribute: where the trial's run is; unset before the run has started."""

ENQUEUED: Final = "enqueued"
"""User attribute: that the user enqueued the trial."""

RETRY_OF: Final = "retry_of"
"""User attribute: the numbers of the trials that this one retries."""

DEATHS: Final = "deaths"
"""User attribute: how often its process has died since the trial last made progress."""

REACHED: Final = "reached"
"""User attribute: the last step that had been reported when the trial was retried."""

OVERRIDES: Final = "overrides"
"""User attribute: the command line of the trial."""

REPLACED: Final = "replaced"
"""User attribute of the study, followed by a number: that trial does not count."""

SWEEPER: Final = "sweeper"
"""User attribute of the study, followed by a name: that sweeper has worked on it."""

GIVEN_UP: Final = "its process died"
"""What the user attribute "error" says for a trial that is no longer retried."""

_CONTINUED: Final = "its process ended; another trial continues it"
_WITHDRAWN: Final = "it was never submitted; another trial replaces it"


def trials(study: optuna.Study, *states: TrialState) -> list[FrozenTrial]:
    """The trials in these states, as they are in the storage now."""
    return study.get_trials(deepcopy=False, states=states or None)


def trial_of(study: optuna.Study, number: int) -> FrozenTrial:
    """A trial as it is in the storage now."""
    return study.get_trials(deepcopy=False)[number]


def running(study: optuna.Study, number: int) -> optuna.Trial:
    """A running trial, to report to.

    Raises:
        UserError: it has ended.
    """
    frozen = trial_of(study, number)
    if frozen.state is not TrialState.RUNNING:
        raise UserError(
            f"Trial {number} of the study '{study.study_name}' is {frozen.state.name}: it has "
            "ended, or another process continues it."
        )
    return _optuna.running_trial(study, frozen)


def retry(study: optuna.Study, left: FrozenTrial, retries: int | None) -> bool:
    """Queue the rest of a trial, with what it had reported, in the same directory.

    If several sweepers notice, only one does so.

    Args:
        study: the study.
        left: the trial, whose process has ended.
        retries: how often a process may die without having got further than the one before it;
            None if it was stopped cleanly, which does not count.

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
    mark_replaced(study, left.number)  # first, so that it never counts along with the next one
    if not fail(study, left.number, _CONTINUED):
        return False
    requeue(study, left, {DEATHS: deaths, REACHED: reached})
    return True


def withdraw(study: optuna.Study, number: int) -> None:
    """Queue a trial again that was handed out but never submitted, and so never started."""
    mark_replaced(study, number)
    trial = trial_of(study, number)
    if fail(study, number, _WITHDRAWN):
        requeue(study, trial, {})


def requeue(study: optuna.Study, left: FrozenTrial, counts: dict[str, int]) -> None:
    """Queue the rest of a trial, with these counts of its deaths."""
    dropped = {HEARTBEAT, "error"}
    if (
        DIRECTORY not in left.user_attrs
    ):  # there is no run that has to resume with its own command line
        dropped.add(OVERRIDES)
    kept = {name: value for name, value in left.user_attrs.items() if name not in dropped}
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


def requeue_lost(study: optuna.Study) -> None:
    """Queue what a sweeper that was killed in the middle of `retry` or `withdraw` did not."""
    gone = replaced(study)
    found = trials(study)
    continued = {number for trial in found for number in trial.user_attrs.get(RETRY_OF, [])}
    for trial in found:
        left = trial.user_attrs.get("error") in (_CONTINUED, _WITHDRAWN)
        if left and trial.number in gone - continued and trial.state is TrialState.FAIL:
            requeue(study, trial, {})


def has_begun(study: optuna.Study) -> bool:
    """Whether any trial was started, as opposed to being refused by the launcher, or waiting."""
    return any(
        trial.state is not TrialState.WAITING and trial.user_attrs.get("error") != _WITHDRAWN
        for trial in trials(study)
    )


def is_queued_twice(study: optuna.Study, number: int) -> bool:
    """Whether an earlier trial in the queue is the same.

    Two sweepers that start together both find that the study has had no such trial.
    """
    *before, trial = trials(study)[: number + 1]
    what = _queued_for(trial)
    return what is not None and any(_queued_for(other) == what for other in before)


def _queued_for(trial: FrozenTrial) -> Any:
    """The trials that a queued one retries, or the values that the user enqueued; or None."""
    if RETRY_OF in trial.user_attrs:
        return trial.user_attrs[RETRY_OF]
    return trial.system_attrs["fixed_params"] if ENQUEUED in trial.user_attrs else None


def fail(study: optuna.Study, number: int, why: str) -> bool:
    """End a running trial as failed, unless another process has; returns whether this one did."""
    trial = trial_of(study, number)
    with contextlib.suppress(UpdateFinishedTrialError):
        _optuna.set_attribute(study, trial, "error", why)
        _optuna.set_failed(study, trial)
        return True
    return False


def mark_replaced(study: optuna.Study, number: int) -> None:
    """Mark a trial as not counting: another one continues it, or it was one too many.

    If it finishes anyway, it counts.
    """
    study.set_user_attr(f"{REPLACED}:{number}", True)


def replaced(study: optuna.Study) -> set[int]:
    """The numbers of the trials that do not count, unless they finished."""
    prefix = f"{REPLACED}:"
    return {int(n.removeprefix(prefix)) for n in study.user_attrs if n.startswith(prefix)}


def counting(study: optuna.Study, found: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """The trials among these that count."""
    gone = replaced(study)
    whole = (TrialState.COMPLETE, TrialState.PRUNED)
    return [trial for trial in found if trial.state in whole or trial.number not in gone]


def sweepers_before(study: optuna.Study) -> int:
    """Note that another sweeper works on the study; returns how many came before it."""
    mine = f"{SWEEPER}:{time.time():.6f}-{uuid.uuid4().hex}"
    study.set_user_attr(mine, [socket.gethostname(), os.getpid()])
    return sorted(n for n in study.user_attrs if n.startswith(f"{SWEEPER}:")).index(mine)


def load(where: str, name: str, **parts: Any) -> optuna.Study:
    """Open an existing study, waiting for its storage if necessary."""
    storage = Patience().until_answered(open_storage, where)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return optuna.load_study(study_name=name, storage=storage, **parts)


def create(
    where: str, name: str, directions: list[str], sampler: BaseSampler, pruner: Any
) -> optuna.Study:
    """Open a study, or create it.

    Raises:
        UserError: a study with that name exists and optimises in another direction.
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
            f"{' and '.join(recorded)}, not to {' and '.join(directions)}. Use another name."
        )
    return study
