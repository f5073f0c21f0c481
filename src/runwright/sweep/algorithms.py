"""The sampler and the pruner of a search: Optuna's, with options that are checked beforehand."""

import functools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias, cast

import numpy as np
import optuna
from hydra.utils import instantiate
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from runwright.errors import UserError, did_you_mean
from runwright.sweep._optuna_sweeper import REMOVED_SAMPLER, SAMPLER_TARGETS
from runwright.sweep.space import SearchSpace

Part: TypeAlias = Literal["sampler", "pruner"]

_BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "seed": (0, 2**32 - 1),
    # samplers
    "n_startup_trials": (0, math.inf),
    "n_ei_candidates": (1, math.inf),
    "prior_weight": (0, math.inf),
    "sigma0": (0, math.inf),
    "popsize": (2, math.inf),
    "inc_popsize": (-1, math.inf),
    "population_size": (2, math.inf),
    "mutation_prob": (0, 1),
    "crossover_prob": (0, 1),
    "swapping_prob": (0, 1),
    "dividing_parameter": (1, math.inf),
    # pruners
    "n_warmup_steps": (0, math.inf),
    "interval_steps": (1, math.inf),
    "n_min_trials": (1, math.inf),
    "min_resource": (1, math.inf),
    "max_resource": (1, math.inf),
    "reduction_factor": (2, math.inf),
    "min_early_stopping_rate": (0, math.inf),
    "bootstrap_count": (0, math.inf),
    "n_startup_steps": (0, math.inf),
    "p_threshold": (0, 1),
    "percentile": (0, 100),
    "patience": (0, math.inf),
    "min_delta": (0, math.inf),
}
"""Option → its smallest and largest value, in any sampler or pruner; Optuna checks only some."""

_COUNTS_OR_AUTO: Final = ("min_resource", "max_resource")
_MADE_IN_PYTHON: Final = ("constraints_func", "source_trials", "gamma", "weights")
_NESTED: Final = {
    "crossover": "optuna.samplers.nsgaii.UniformCrossover",
    "mutation": "optuna.samplers.nsgaii.PolynomialMutation",
    "independent_sampler": "optuna.samplers.RandomSampler",
    "wrapped_pruner": "optuna.pruners.MedianPruner",
}
"""Option → its class, for options that are objects of Optuna's."""


def problems_of_options(part: Part, options: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the options of the sampler or the pruner, each with its full key."""
    target = str(options.get("_target_"))
    if target not in (allowed := _targets(part)):
        yield f"hydra.sweeper.{part}._target_={target}: {did_you_mean(target, allowed)}"
    for name, value in options.items():
        key = f"hydra.sweeper.{part}.{name}"
        if value is None:
            continue
        if name in _COUNTS_OR_AUTO and not isinstance(value, int):
            if value != "auto":
                yield f"{key} must be auto or an integer, got {value}."
        elif name in _MADE_IN_PYTHON:
            yield f"{key}: it can only be made in Python, not in a configuration. Leave it out."
        elif name in _NESTED and not (isinstance(value, Mapping) and "_target_" in value):
            yield f"{key} must have a _target_, such as {{_target_: {_NESTED[name]}}}."
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield from out_of_bounds(key, value, *_BOUNDS.get(name, (-math.inf, math.inf)))


def out_of_bounds(key: str, value: float, low: float, high: float = math.inf) -> Iterator[str]:
    """A sentence if a number is not finite, or is outside what is allowed."""
    if not low <= value <= high or not math.isfinite(value):
        limits = [f"≥ {low}"] * (low > -math.inf) + [f"≤ {high}"] * (high < math.inf)
        yield f"{key} must be {', '.join(limits) or 'finite'}, got {value}."


def make_sampler(
    options: Mapping[str, Any], space: SearchSpace, sweepers_before: int = 0
) -> BaseSampler:
    """The sampler; for a later sweeper on a study, with a seed that draws other values.

    A quasi-random sequence is shared: every sweeper takes its next points.

    Raises:
        UserError: it refuses its options or the space.
    """
    chosen = dict(options)
    seed: int | None = chosen.get("seed")
    if sweepers_before and seed is not None and not chosen["_target_"].endswith("QMCSampler"):
        chosen["seed"] = int(np.random.SeedSequence([seed, sweepers_before]).generate_state(1)[0])
    sampler = _instantiated("sampler", chosen)
    # A grid is the only sampler that has to know the space beforehand.
    if isinstance(sampler, functools.partial):
        sampler = cast("Callable[..., BaseSampler]", sampler)(space.grid())
    return cast("BaseSampler", sampler)


def make_pruner(options: Mapping[str, Any]) -> BasePruner:
    """The pruner.

    Raises:
        UserError: it refuses its options.
    """
    return _instantiated("pruner", options)


def _instantiated(part: Part, options: Mapping[str, Any]) -> Any:
    allowed = [*_targets("sampler"), *_targets("pruner"), *_public(optuna.samplers.nsgaii)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # the user chose it by name
            return instantiate(options, _execution_whitelist_=allowed)
    except Exception as error:
        name = str(options["_target_"]).rpartition(".")[2]
        why = str(error.__cause__ or error).strip().splitlines()[0]
        raise UserError(f"hydra.sweeper.{part}: {name} refuses its options: {why}") from error


def _targets(part: Part) -> list[str]:
    """What `_target_` may name: "optuna.*" would include everything that Optuna imports."""
    if part == "pruner":
        return _public(optuna.pruners)
    return [*_public(optuna.samplers), *SAMPLER_TARGETS, REMOVED_SAMPLER]


def _public(module: Any) -> list[str]:
    found = [name for name in module.__all__ if isinstance(getattr(module, name), type)]
    return [f"{module.__name__}.{name}" for name in found if not name.startswith("Base")]
