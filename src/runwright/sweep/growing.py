"""A study that begins with the trials of an earlier one, to search other values from there on.

Optuna refuses other choices within a study. So the trials go on in a study of another name, where
each is as it was but for what its values are said to be sampled from.
"""

import copy
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import GridSampler
from optuna.trial import FrozenTrial, TrialState

from runwright.errors import ConfigError, UserError, did_you_mean
from runwright.sweep.distributions import member, value_of
from runwright.sweep.heartbeat import is_dead
from runwright.sweep.space import SearchSpace, are_compatible
from runwright.sweep.storage import open_storage
from runwright.sweep.study import SWEEPER, load, trials

_KEY: Final = "hydra.sweeper.from_study"
_MOST_NAMED: Final = 5
Problems: TypeAlias = dict[str, list[int]]
"""Why trials do not belong in a space, with their numbers."""

_TAKEN: Final = "from_study"
"""User attribute of the study: whose trials it has taken over, all of them."""


def take_over(
    study: optuna.Study, storage: str, name: str, space: SearchSpace, heartbeat: float
) -> int:
    """Let a study begin with the trials of another, unless it has done so before.

    Args:
        study: the study, as yet without trials.
        storage: where it is.
        name: the other one, in the same place.
        space: what is searched now.
        heartbeat: seconds between the heartbeats of a trial.

    Returns:
        How many trials it took.

    Raises:
        ConfigError: trials do not belong in the space.
        UserError: there is no such study, it cannot be taken over now, or not by this one.
    """
    if study.user_attrs.get(_TAKEN) == name:
        return 0
    earlier = _earlier(study, storage, name)
    found = trials(earlier)
    if begun := len(trials(study)):
        raise UserError(
            f"{_KEY}={name}: the study {study.study_name} has {begun} trials of its own already. "
            "Leave this out to go on with it, or use another hydra.sweeper.study_name."
        )
    if alive := [
        trial.number
        for trial in found
        if trial.state is TrialState.RUNNING and not is_dead(trial, heartbeat)
    ]:
        raise UserError(
            f"{_KEY}={name}: trial {alive[0]} of it is running. Wait for it, or stop its sweep."
        )
    problems: Problems = {}
    moved = [_moved(trial, space, problems) for trial in found]
    if problems:
        told = [f"{why} (trials {_list(numbers)})." for why, numbers in problems.items()]
        raise ConfigError([f"{_KEY}={name}: {text}" for text in told])
    study.add_trials(moved)
    for attribute, value in earlier.user_attrs.items():
        if not attribute.startswith(f"{SWEEPER}:"):
            study.set_user_attr(attribute, value)
    study.set_user_attr(_TAKEN, name)
    return len(moved)


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:_MOST_NAMED])) + ", …" * (len(numbers) > _MOST_NAMED)


def may_take_over(study: optuna.Study, space: SearchSpace) -> bool:
    """Whether another study that searches this space can begin with the trials of this one."""
    problems: Problems = {}
    for trial in trials(study):
        _moved(trial, space, problems)
    return not problems and not isinstance(study.sampler, GridSampler)


def _earlier(study: optuna.Study, storage: str, name: str) -> optuna.Study:
    if isinstance(study.sampler, GridSampler):
        raise UserError(
            f"{_KEY}: a grid does not know which of its points another study has tried. Take "
            "another hydra/sweeper/sampler."
        )
    others = set(optuna.get_all_study_names(open_storage(storage))) - {study.study_name}
    if name not in others:
        raise UserError(
            f"{_KEY}={name}: there is no other study of that name where {study.study_name} is. "
            + (did_you_mean(name, others) if others else "There is none but this one.")
        )
    earlier = load(storage, name)
    if earlier.directions != study.directions:
        ways = " and ".join(direction.name.lower() for direction in earlier.directions)
        raise UserError(f"{_KEY}={name}: that study is to {ways}, and this one is not.")
    return earlier


def _moved(trial: FrozenTrial, space: SearchSpace, problems: Problems) -> FrozenTrial:
    """A trial as it is in the new study; notes what does not belong in the space."""
    moved = copy.deepcopy(trial)
    params, distributions = dict(trial.params), dict(trial.distributions)
    for name, before in trial.distributions.items():
        ways = space.ways(name, trial.params)
        if name not in space.known() or any(are_compatible(before, way) for way in ways):
            continue
        way, why = _belongs(trial.params[name], ways)
        if way is None:
            problems.setdefault(f"{name} {why}", []).append(trial.number)
        else:
            params[name], distributions[name] = member(way, value_of(trial.params[name])), way
    moved.params, moved.distributions = params, distributions
    return moved


def _belongs(value: Any, ways: Sequence[BaseDistribution]) -> tuple[BaseDistribution | None, str]:
    """What a value may be sampled from now; or None, and why from nothing."""
    why = "is not searched in such a trial any more"
    for way in ways:
        try:
            member(way, value_of(value))
        except UserError as error:
            why = str(error).removesuffix(".")
        else:
            return way, ""
    return None, why
