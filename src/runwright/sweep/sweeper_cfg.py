"""The options of `hydra/sweeper=runwright` and `hydra/sweeper=optuna`.

The options of a sampler or pruner are Optuna's own; `_target_` names it, and cannot name anything
outside Optuna.
"""

import contextlib
import importlib
from dataclasses import dataclass, field
from typing import Any, Final

from omegaconf import MISSING

from runwright.compose.plugin_options import store_options


@dataclass
class SweeperCfg:
    """The options of a sweep."""

    _target_: str = "runwright.sweep.sweeper.RunwrightSweeper"
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe"}, {"pruner": "median"}])

    sampler: Any = MISSING
    pruner: Any = MISSING

    # maximize or minimize, one for each of `measures`; follows from the first job's measure.
    direction: Any = None
    # Measures to optimise together: columns of metrics.csv, or `parameters`. Default: what the
    # run returns.
    measures: list[str] | None = None

    # A file `….log` for an Optuna journal, or the URL of SQLite or PostgreSQL. Default: study.log
    # in the sweep directory.
    storage: str | None = None
    study_name: str | None = None
    # A study in the same storage, with whose trials this one begins; choices may have been added.
    from_study: str | None = None

    # Trials of the study in all, including those of earlier sweeps.
    n_trials: int = 20
    # Trials at a time. Default: one, or one on each of `gpus`.
    n_jobs: int | None = None
    # GPUs of this machine, which the slots take in turn: `all`, or a list of their numbers.
    gpus: Any = None
    # Seconds after which no more trials are started.
    timeout: float | None = None
    # Whether a trial may have the values of one before it.
    repeat: bool = True
    # The share of failed trials, of at least five, above which the sweep stops.
    max_failure_rate: float = 0.5
    # How often a trial whose process died is retried.
    retries: int = 2
    # Seconds between the heartbeats of a trial; after three missing ones it counts as dead.
    heartbeat: float = 60.0

    # Option → values, in Hydra's sweep syntax.
    params: dict[str, str] | None = None
    # "option=value" → params that exist only under that condition.
    when: dict[str, dict[str, str]] | None = None
    # Values to try first; what is missing in one is sampled.
    enqueue: list[dict[str, Any]] | None = None
    # Every trial is run once for each seed; its value is the mean.
    seeds: list[int] | None = None
    # A function (config, trial) that suggests further values, by the name of its @search_space.
    custom_search_space: str | None = None


@dataclass
class OptunaSweeperCfg:
    """The options of a sweep with Hydra's own Optuna sweeper."""

    _target_: str = "runwright.sweep.sweeper.CheckedOptunaSweeper"
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe"}])

    sampler: Any = MISSING

    # maximize or minimize; follows from the first job's measure.
    direction: Any = None

    # The URL of a database, such as sqlite:///study.db. Default: in memory.
    storage: str | None = None
    study_name: str | None = None

    # Trials of this sweep.
    n_trials: int = 20
    # Trials at a time; each batch waits for its slowest.
    n_jobs: int = 2
    # The share of failed trials in a batch above which the sweep stops.
    max_failure_rate: float = 0.0

    # Option → values, in Hydra's sweep syntax.
    params: dict[str, str] | None = None
    # A function (config, trial) that suggests further values, by the name of its @search_space.
    custom_search_space: str | None = None


@dataclass
class MedianPrunerCfg:
    """Prune what is worse than the median of the others at the same step."""

    _target_: str = "optuna.pruners.MedianPruner"
    n_startup_trials: int = 5
    n_warmup_steps: int = 0
    interval_steps: int = 1
    n_min_trials: int = 1


@dataclass
class SuccessiveHalvingPrunerCfg:
    """Keep only the best share of the trials at every rung."""

    _target_: str = "optuna.pruners.SuccessiveHalvingPruner"
    min_resource: Any = "auto"
    reduction_factor: int = 4
    min_early_stopping_rate: int = 0
    bootstrap_count: int = 0


@dataclass
class HyperbandPrunerCfg:
    """Successive halving with several sets of rungs."""

    _target_: str = "optuna.pruners.HyperbandPruner"
    min_resource: int = 1
    max_resource: Any = "auto"
    reduction_factor: int = 3
    bootstrap_count: int = 0


@dataclass
class WilcoxonPrunerCfg:
    """Prune by a signed-rank test against the best trial over the seeds; needs `seeds`."""

    _target_: str = "optuna.pruners.WilcoxonPruner"
    p_threshold: float = 0.1
    n_startup_steps: int = 2


@dataclass
class NopPrunerCfg:
    """Prune nothing."""

    _target_: str = "optuna.pruners.NopPruner"


PRUNERS: Final[dict[str, type]] = {
    "median": MedianPrunerCfg,
    "successive_halving": SuccessiveHalvingPrunerCfg,
    "hyperband": HyperbandPrunerCfg,
    "wilcoxon": WilcoxonPrunerCfg,
    "none": NopPrunerCfg,
}


def store() -> None:
    """Let Hydra find all this."""
    store_options("hydra/sweeper", "runwright", SweeperCfg)
    with contextlib.suppress(ImportError):  # without the extra this sweeper does not exist
        # Importing it stores its own configurations; ours replaces one of them.
        importlib.import_module("hydra_plugins.hydra_optuna_sweeper.config")
        store_options("hydra/sweeper", "optuna", OptunaSweeperCfg)
    for name, cls in PRUNERS.items():
        store_options("hydra/sweeper/pruner", name, cls)
