"""Hydra's basic launcher, which runs the jobs of a multirun in turn, without keeping them."""

import copy
from dataclasses import dataclass, replace
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from typing_extensions import override

from runwright.compose import _hydra
from runwright.compose.plugin_options import store_options


@dataclass
class BasicLauncherConf:
    """Its options."""

    _target_: str = "runwright.cli.basic_launcher.BasicLauncher"

    # Whether the first job that fails stops those after it.
    stop_at_failure: bool = False


class BasicLauncher(_hydra.BasicLauncher):
    """`hydra/launcher=basic`: runs one job after the other, in this process."""

    def __init__(self, *, stop_at_failure: bool = False) -> None:
        """Run every job, or those up to the first that fails; `job.py` stops them."""
        del stop_at_failure
        super().__init__()

    @override
    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        callbacks = hydra_context.callbacks
        if not callbacks.callbacks and is_basic_sweeper(config):  # nothing else will read them
            callbacks = copy.copy(callbacks)
            callbacks.callbacks = [_ForgetConfigurations()]
        context = replace(hydra_context, callbacks=callbacks)
        super().setup(hydra_context=context, task_function=task_function, config=config)


class _ForgetConfigurations(Callback):
    """Frees the two copies of its configuration that the return of a job holds.

    Hydra keeps the returns until the last job has ended; the copies are most of each (150 KB).
    """

    @override
    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        job_return.cfg = job_return.hydra_cfg = None


def is_basic_sweeper(config: DictConfig) -> bool:
    """Whether the jobs of a multirun are all combinations of its values."""
    basic = f"{_hydra.BasicSweeper.__module__}.{_hydra.BasicSweeper.__name__}"
    return config.hydra.sweeper.get("_target_") == basic


def register() -> None:
    """Make it Hydra's basic launcher."""
    Plugins.instance().register(BasicLauncher)
    store_options("hydra/launcher", "basic", BasicLauncherConf)
