"""A sweep with Hydra's own Optuna sweeper, checked before its first trial."""

import sys
from typing import Final, cast

from hydra.types import HydraContext, TaskFunction
from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper
from omegaconf import DictConfig

from runwright.custom_search_space import registered
from runwright.sweep._optuna_sweeper import extend_search_space
from runwright.sweep.algorithms import make_sampler
from runwright.sweep.checks import check_stock, directions
from runwright.sweep.corners import check_corners, known_directions
from runwright.sweep.space import SearchSpace
from runwright.sweep.storage import refuse_foreign_file
from runwright.sweep.sweeper_cfg import OptunaSweeperCfg

_LOST: Final = (
    "The search itself cannot be resumed: hydra/sweeper=optuna has kept its study in memory. "
    "hydra/sweeper=runwright, with the same params, can be."
)


def run_stock_sweep(
    options: OptunaSweeperCfg,
    hydra_context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
    arguments: list[str],
) -> None:
    """Let Hydra's sweeper search, in the direction in which the measure is better.

    Raises:
        ConfigError: the options, or a corner of the search space, cannot work.
    """
    check_stock(options)
    refuse_foreign_file(options.storage or "")
    space = SearchSpace.parse(options.params or {}, {}, arguments)
    extend = registered(options.custom_search_space)
    make_sampler(options.sampler, space)  # refuses what does not fit
    corners = check_corners(space, (), hydra_context.config_loader, config)
    known, monitor = known_directions(corners)
    sweeper = OptunaSweeper(
        options.sampler,
        directions(options.direction, [""], known, monitor),
        options.storage,
        options.study_name,
        options.n_trials,
        options.n_jobs,
        options.max_failure_rate,
        None,
        cast("DictConfig", options.params),
    )
    extend_search_space(sweeper, extend)
    sweeper.setup(hydra_context=hydra_context, task_function=task_function, config=config)
    try:
        sweeper.sweep(arguments)
    except (KeyboardInterrupt, SystemExit):
        if options.storage is None:
            print(_LOST, file=sys.stderr)  # the logging is that of the trial
        raise
