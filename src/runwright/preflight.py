"""What only the heavy libraries know to be wrong, found before anything is launched."""

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from runwright.compose.pending import PendingJobs
from runwright.dims import Dims, accepts
from runwright.errors import ConfigError, UserError
from runwright.extras import require_extra
from runwright.factory import mistyped, type_argument

if TYPE_CHECKING:
    from runwright.config import Config, TrainingCfg
    from runwright.factory import Settings

_WITH_PREFLIGHT: Final = ("dm", "model", "objective", "opt")


def problems(config: "Config") -> list[str]:
    """All that can be known to be wrong before a run directory is made and data are read."""
    wrong = mistyped(config)
    above = {key.partition(".")[0] for key in wrong}
    right = {name: part for name, part in vars(config).items() if name not in above}
    return [*wrong.values(), *problems_of_parts(right)]


def problems_of_parts(parts: Mapping[str, Any]) -> list[str]:
    """What can be known to be wrong with those options of a configuration that there are, by name.

    Where the Dims follow from the options, model and objective are built on the meta device,
    without memory, and the monitored measure must be one that the objective knows.
    """
    import torch

    from runwright.training import wandb_log
    from runwright.training.monitor import choose_monitor

    found: list[str] = []

    def is_right(check: Callable[[], object]) -> bool:
        try:
            check()
        except UserError as error:
            found.append(str(error))
            return False
        return True

    named = {name: parts[name] for name in _WITH_PREFLIGHT if name in parts}
    right = {name: part for name, part in named.items() if is_right(part.preflight)}
    if "wandb" in parts:
        is_right(lambda: wandb_log.check(parts["wandb"]))
    if parts.get("tensorboard"):
        is_right(lambda: require_extra("tensorboard", "tensorboard", "tensorboard=true"))
    dims: Dims | None = right["dm"].expected_dims() if "dm" in right else None
    if dims is None:
        return found

    def check_model() -> None:
        model = right["model"].build(dims)
        if "opt" in right:
            right["opt"].build(model)

    def check_objective() -> None:
        objective = right["objective"].build(dims, torch.device("meta"))
        training: TrainingCfg | None = parts.get("training")
        if training is None or (training.monitor is None and training.monitor_mode is None):
            return
        choose_monitor(training, objective, has_validation=True)

    for name, check in (("model", check_model), ("objective", check_objective)):
        part: Settings | None = right.get(name)
        if part is None or not accepts(type_argument(type(part)), type(dims)):
            continue
        # What does not work on this device (reading a number from a tensor) will for real.
        with torch.device("meta"), contextlib.suppress(RuntimeError):
            is_right(check)
    return found


def check_jobs(pending: PendingJobs) -> None:
    """Check the jobs of a multirun before the first is launched.

    Raises:
        ConfigError: with everything that is wrong.
    """
    if pending.has_launched:
        return
    if found := problems_of_jobs(pending):
        raise ConfigError(found)
    pending.launch()


def problems_of_jobs(pending: PendingJobs) -> list[str]:
    """What is wrong with the jobs of a multirun that wait to be launched, each with where."""
    jobs: dict[str, list[str]] = {}
    for overrides, config in pending.waiting.values():
        for problem in problems(config):
            jobs.setdefault(problem, []).append(" ".join(overrides))
    return [
        f"{problem}\n   Job: {first}" + (f" (and {len(more)} like it)" if more else "")
        for problem, (first, *more) in jobs.items()
    ]


def directions(config: "Config") -> tuple[dict[str, str], str | None]:
    """Which way each measure of a run is better, "maximize" or "minimize", and what it returns.

    The key "" stands for what the run returns. Empty when the Dims are known only from the data.
    """
    import torch

    from runwright.training.monitor import choose_monitor, known_measures

    dims = config.dm.expected_dims()
    if dims is None:
        return {}, None
    with torch.device("meta"):
        objective = config.objective.build(dims, torch.device("meta"))
    ways = {True: "maximize", False: "minimize"}
    known = {name: ways[better] for name, better in known_measures(objective).items()}
    monitor, higher_is_better = choose_monitor(config.training, objective, has_validation=True)
    way = ways[higher_is_better]
    return {**known, "parameters": "minimize", "": way, monitor: way}, monitor
