"""The corners of a search space: composed, checked and built before the first trial starts."""

import logging
from collections.abc import Callable, Sequence

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig

from runwright.checks import preflight
from runwright.compose.loader import StrictConfigLoader
from runwright.config import Config
from runwright.errors import ConfigError
from runwright.sweep.space import SearchSpace, Values

log = logging.getLogger(__name__)


def check_corners(
    space: SearchSpace,
    enqueued: Sequence[Values],
    loader: ConfigLoader,
    config: DictConfig,
    before_building: Callable[[], None] = lambda: None,
) -> list[Config]:
    """Check the corners of a space, and the trials that the user enqueued.

    Args:
        space: the space.
        enqueued: values to try first.
        loader: composes the trials.
        config: the configuration of the sweep itself.
        before_building: is called once all are composed without a mistake.

    Returns:
        The configurations of the corners, as far as they are known before they run.

    Raises:
        ConfigError: with everything that is wrong.
    """
    assert isinstance(loader, StrictConfigLoader)
    problems: dict[str, str] = {}
    corners = space.corners()
    trials = [("", values) for values in corners]
    for index, values in enumerate(enqueued):
        trials.append((f" (hydra.sweeper.enqueue[{index}])", space.completed(values)))
    for where, values in trials:
        overrides = space.overrides(values)
        try:
            loader.load_sweep_config(config, overrides)
        except ConfigError as error:
            for problem in error.problems:
                told = f"{problem}\n   Trial: {' '.join(overrides)}{where}"
                problems.setdefault(_without_values(problem, values), told)
    found = list(problems.values())
    if not found:
        before_building()
    found += preflight.problems_of_jobs(loader.pending)
    if found:
        raise ConfigError(found)
    log.info("%d corners of the search space are valid.", len(corners))
    configs = [composed for _, composed in loader.pending.waiting.values()]
    loader.pending.launch()
    return configs


def known_directions(configs: Sequence[Config]) -> tuple[dict[str, str], str | None]:
    """The direction of each measure of a run, and the name of what it returns; see `preflight`.

    Args:
        configs: those of all trials whose values are compared.

    Raises:
        ConfigError: they return different measures.
    """
    by_parts = {
        (config.training.monitor, type(config.objective), type(config.dm)): config
        for config in configs
    }
    found = [preflight.directions(config) for config in by_parts.values()]
    monitors = dict.fromkeys(monitor for _, monitor in found if monitor is not None)
    if len(monitors) > 1:
        text = (
            f"The trials return different measures ({', '.join(monitors)}), whose values cannot be "
            "compared. Give one training.monitor for all."
        )
        raise ConfigError([text])
    return found[0] if found else ({}, None)


def _without_values(problem: str, values: Values) -> str:
    """What is wrong with a trial, in words that do not depend on its values."""
    for name, value in values.items():
        problem = problem.replace(f"{name}={value}", name)
    return problem
