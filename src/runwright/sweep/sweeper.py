"""The plugin that Hydra knows; imports nothing heavy until a sweep starts."""

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from typing_extensions import override

from runwright.compose.plugin_options import chosen_options
from runwright.extras import require_extra
from runwright.sweep import sweeper_options as options

options.store()


class RunwrightSweeper(Sweeper):
    """`hydra/sweeper=runwright`: see `runwright.sweep.sweeper_options` for what it takes."""

    def __init__(self, **chosen: Any) -> None:
        """Take the options as Hydra composed them."""
        self._options = chosen_options(options.SweeperConf, chosen)

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
