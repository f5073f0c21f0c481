"""What can be wrong with the options of a sweep before its space is looked at."""

from collections.abc import Mapping
from typing import Any, cast

from runwright.errors import ConfigError, did_you_mean
from runwright.sweep.options import SweeperConf


def check(options: SweeperConf) -> None:
    """Check what can be known of the options by themselves.

    Raises:
        ConfigError: with everything that is wrong.
    """
    problems = [
        f"hydra.sweeper.{name} must be ≥ 1, got {getattr(options, name)}."
        for name in ("n_trials", "n_jobs")
        if getattr(options, name) < 1
    ]
    if options.heartbeat <= 0:
        problems.append(f"hydra.sweeper.heartbeat must be > 0, got {options.heartbeat}.")
    if not 0 <= options.max_failure_rate <= 1:
        rate = options.max_failure_rate
        problems.append(f"hydra.sweeper.max_failure_rate must be ≥ 0, ≤ 1, got {rate}.")
    pruner = str(options.pruner.get("_target_"))
    prunes = not pruner.endswith("NopPruner")
    if prunes and len(options.measures or ()) > 1:
        problems.append(
            "hydra.sweeper.measures: with several there is no pruning; choose "
            "hydra/sweeper/pruner=none."
        )
    if pruner.endswith("WilcoxonPruner") and not options.seeds:
        problems.append(
            "hydra/sweeper/pruner=wilcoxon compares trials seed by seed; give "
            "hydra.sweeper.seeds=[1,2,3,…]."
        )
    if problems:
        raise ConfigError(problems)


def directions(options: SweeperConf, known: Mapping[str, str]) -> list[str]:
    """One direction for each value; those that are known need not, and must not, be denied.

    Args:
        options: those of the sweeper.
        known: measure → direction; "" is what the run returns.

    Raises:
        ConfigError: a direction is missing, or contradicts the measure.
    """
    measures: list[str] = options.measures or [""]
    given = options.direction
    is_list = isinstance(given, list)
    named = cast("list[Any]", given) if is_list else [given] * len(measures)
    chosen = [None if d is None else str(getattr(d, "name", d)) for d in named]
    problems: list[str] = []
    if len(chosen) != len(measures):
        problems.append(
            f"hydra.sweeper.direction has {len(chosen)} entries for {len(measures)} measures."
        )
    found: list[str] = []
    for measure, direction in zip(measures, chosen, strict=False):
        what = f"'{measure}'" if measure else "what the run returns"
        if direction not in (None, "maximize", "minimize"):
            problems.append(
                f"hydra.sweeper.direction: '{direction}'. "
                + did_you_mean(direction, ("maximize", "minimize"))
            )
        elif direction is None and measure not in known:
            problems.append(
                f"hydra.sweeper.direction: it is not known which way {what} is better. "
                "Give maximize or minimize."
            )
        elif direction is not None and known.get(measure, direction) != direction:
            problems.append(
                f"hydra.sweeper.direction={direction}, but of {what} "
                f"{'more' if known[measure] == 'maximize' else 'less'} is better."
            )
        else:
            found.append(direction or known[measure])
    if problems:
        raise ConfigError(problems)
    return found
