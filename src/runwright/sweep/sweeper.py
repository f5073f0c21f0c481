"""The plugins that Hydra knows; import nothing heavy until a sweep starts."""

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from typing_extensions import override

from runwright.compose.plugin_options import chosen_options
from runwright.extras import require_extra
from runwright.sweep import sweeper_cfg

sweeper_cfg.store()


class RunwrightSweeper(Sweeper):
    """`hydra/sweeper=runwright`: see `runwright.sweep.sweeper_cfg` for what it takes."""

    def __init__(self, **chosen: Any) -> None:
        self._options = chosen_options(sweeper_cfg.SweeperCfg, chosen)

    @override
    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self._hydra = (hydra_context, config)

    @override
    def sweep(self, arguments: list[str]) -> None:
        require_extra("optuna", "sweep", "hydra/sweeper=runwright")
        from runwright.sweep.sweep import Sweep

        Sweep(self._options, *self._hydra).run(arguments)


class CheckedOptunaSweeper(Sweeper):
    """`hydra/sweeper=optuna`: Hydra's own, which is checked before its first trial."""

    def __init__(self, **chosen: Any) -> None:
        self._options = chosen_options(sweeper_cfg.OptunaSweeperCfg, chosen)

    @override
    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self._hydra = (hydra_context, task_function, config)

    @override
    def sweep(self, arguments: list[str]) -> None:
        require_extra("optuna", "sweep", "hydra/sweeper=optuna")
        from runwright.sweep.stock_sweep import run_stock_sweep

        run_stock_sweep(self._options, *self._hydra, arguments)
