"""The private parts of Hydra's own Optuna sweeper.

`tests/sweep/test_optuna_sweeper.py` says what to do when it changes.
"""

# pyright: reportPrivateUsage=false, reportMissingTypeStubs=false

from collections.abc import Callable
from typing import Any, Final

from hydra.core.override_parser.types import Override
from hydra_plugins.hydra_optuna_sweeper import _impl, config
from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper
from optuna.distributions import BaseDistribution

SAMPLER_TARGETS: Final = tuple(
    f"{function.__module__}.{function.__name__}"
    for function in (_impl.create_nsgaii_sampler, _impl.create_nsgaiii_sampler)
)
"""Functions that make samplers, as its configurations name them."""

REMOVED_SAMPLER: Final = f"{config.__name__}.{config.raise_motpe_removed.__name__}"
"""The message that a sampler no longer exists."""


def distribution_of(override: Override) -> BaseDistribution | str:
    """The distribution of an override, or the one value that it sets, as text."""
    return _impl.create_optuna_distribution_from_override(override)


def extend_search_space(sweeper: OptunaSweeper, function: Callable[..., Any] | None) -> None:
    """Let a function suggest more values for every trial."""
    sweeper.sweeper.custom_search_space_extender = function
