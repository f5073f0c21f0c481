"""What only the heavy libraries know to be wrong, found before anything is launched."""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from runwright.errors import ConfigError, UserError
from runwright.extras import require_extra

if TYPE_CHECKING:
    from runwright.composition import StrictConfigLoader
    from runwright.run import Config


def problems(config: "Config") -> list[str]:
    """All that can be known to be wrong before a run directory is made and data are read.

    Where the Dims follow from the options, model and objective are built on the meta device,
    without memory, and the monitored measure must be one that the objective knows.
    """
    import torch

    from runwright.evaluation import measure_to_report

    found: list[str] = []

    def attempt(check: Callable[[], object]) -> None:
        try:
            check()
        except UserError as error:
            found.append(str(error))

    for part in (config.dm, config.model, config.objective, config.opt, config.wandb):
        attempt(part.preflight)
    if config.tensorboard:
        attempt(lambda: require_extra("tensorboard", "tensorboard", "tensorboard=true"))
    dims = config.dm.expected_dims()
    if dims is None or found:
        return found

    def check_objective() -> None:
        objective = config.objective.build(dims, torch.device("meta"))
        if config.training.monitor is not None:
            measure_to_report(config.training, objective)

    for check in (lambda: config.opt.build(config.model.build(dims)), check_objective):
        # What does not work on this device (reading a number from a tensor) will for real.
        with torch.device("meta"), contextlib.suppress(RuntimeError, NotImplementedError):
            attempt(check)
    return found


def check_jobs(loader: "StrictConfigLoader") -> None:
    """Check the jobs of a multirun that wait to be launched, unless some have been launched.

    Raises:
        ConfigError: with everything that is wrong.
    """
    if loader.has_launched:
        return
    if found := problems_of_jobs(loader):
        raise ConfigError(found)
    loader.waiting.clear()
    loader.has_launched = True


def problems_of_jobs(loader: "StrictConfigLoader") -> list[str]:
    """What is wrong with the jobs of a multirun that wait to be launched, each with where."""
    jobs: dict[str, list[str]] = {}
    for overrides, config in loader.waiting.values():
        for problem in problems(config):
            jobs.setdefault(problem, []).append(" ".join(overrides))
    return [
        f"{problem}\n   Job: {first}" + (f" (and {len(more)} like it)" if more else "")
        for problem, (first, *more) in jobs.items()
    ]


def directions(config: "Config") -> dict[str, str]:
    """Which way each measure of a run is better: "maximize" or "minimize".

    The key "" stands for what the run returns. Empty when the Dims are known only from the data.
    """
    import torch

    from runwright.evaluation import choose_monitor

    dims = config.dm.expected_dims()
    if dims is None:
        return {}
    with torch.device("meta"):
        objective = config.objective.build(dims, torch.device("meta"))
    ways = {True: "maximize", False: "minimize"}
    known = {f"val_{name}": ways[better] for name, better in objective.higher_is_better.items()}
    monitor, higher_is_better = choose_monitor(config.training, objective, has_validation=True)
    return {**known, "parameters": "minimize", "": ways[higher_is_better], monitor: known[monitor]}
