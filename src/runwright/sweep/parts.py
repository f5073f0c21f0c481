"""What a sweep takes of Optuna, or of the user: sampler, pruner, a function of one's own."""

import functools
import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import numpy as np
import optuna
from hydra.utils import instantiate
from omegaconf import DictConfig
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from runwright.errors import UserError
from runwright.sweep.space import SearchSpace

_ALLOWED: Final = ("optuna.*", "hydra_plugins.hydra_optuna_sweeper.*")


def make_sampler(
    options: Mapping[str, Any], space: SearchSpace, sweepers_before: int = 0
) -> BaseSampler:
    """The sampler; of a later sweeper on a study, with a seed that draws other values.

    A quasi-random sequence is one for all, of which every sweeper takes the next points.

    Raises:
        UserError: it refuses its options, or the space.
    """
    chosen = dict(options)
    seed: int | None = chosen.get("seed")
    if sweepers_before and seed is not None and not chosen["_target_"].endswith("QMCSampler"):
        chosen["seed"] = int(np.random.SeedSequence([seed, sweepers_before]).generate_state(1)[0])
    sampler = _instantiated("sampler", chosen)
    # A grid is the one sampler that has to know the space beforehand.
    if isinstance(sampler, functools.partial):
        sampler = cast("Callable[..., BaseSampler]", sampler)(space.grid())
    return cast("BaseSampler", sampler)


def make_pruner(options: Mapping[str, Any]) -> BasePruner:
    """The pruner.

    Raises:
        UserError: it refuses its options.
    """
    return _instantiated("pruner", options)


def function_named(name: str | None) -> Callable[[DictConfig, optuna.Trial], None] | None:
    """The function that `hydra.sweeper.custom_search_space` names.

    Raises:
        UserError: there is none of that name.
    """
    if name is None:
        return None
    module, _, function = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"hydra.sweeper.custom_search_space={name}: {error}.") from error


def _instantiated(part: str, options: Mapping[str, Any]) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # the user chose it by name
            return instantiate(options, _execution_whitelist_=_ALLOWED)
    except Exception as error:
        name = str(options["_target_"]).rpartition(".")[2]
        why = str(error.__cause__ or error).strip().splitlines()[0]
        raise UserError(f"hydra/sweeper/{part}: {name} refuses its options: {why}") from error
