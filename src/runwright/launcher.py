"""Hydra's basic launcher, which runs the jobs of a multirun in turn, made to forget each."""

# What Hydra keeps of a job is in its inner parts.
# pyright: reportPrivateUsage=false

import contextlib
import copy
import traceback
from dataclasses import dataclass, replace
from typing import Any

from hydra._internal.core_plugins import basic_launcher
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from typing_extensions import override

from runwright.plugin_options import store_options


@dataclass
class BasicLauncherConf:
    """It takes no options."""

    _target_: str = "runwright.launcher.BasicLauncher"


class BasicLauncher(basic_launcher.BasicLauncher):
    """`hydra/launcher=basic`: runs one job after the other, in this process."""

    @override
    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        callbacks = copy.copy(hydra_context.callbacks)
        callbacks.callbacks = [_Forget(), *callbacks.callbacks]
        context = replace(hydra_context, callbacks=callbacks)
        super().setup(hydra_context=context, task_function=task_function, config=config)


class _Forget(Callback):
    """Frees, before the next job, what the return of a job holds and nothing reads any more.

    Hydra keeps the returns until the last job has ended: each with two copies of its configuration
    (150 KB), and that of a failed job with all variables along its traceback: its model, its data.
    """

    _ended: JobReturn | None = None

    @override
    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        self._ended = job_return

    @override
    def on_job_start(
        self, config: DictConfig, *, task_function: TaskFunction, **kwargs: Any
    ) -> None:
        if self._ended is None:
            return
        self._ended.cfg = self._ended.hydra_cfg = None
        returned = self._ended._return_value  # noqa: SLF001  # the public name raises it
        if isinstance(returned, Exception):
            _free(returned)


def _free(error: Exception) -> None:
    """Free the variables of all calls that ended with an exception, and with those behind it."""
    following: BaseException | None = error
    seen: list[BaseException] = []
    while following is not None and following not in seen:
        seen.append(following)
        traceback.clear_frames(following.__traceback__)
        following = following.__cause__ or following.__context__
    caller = error.__traceback__ and error.__traceback__.tb_frame
    with contextlib.suppress(RuntimeError):  # until one that has not ended
        while caller := caller and caller.f_back:
            caller.clear()


def register() -> None:
    """Let Hydra take it for its own."""
    Plugins.instance().register(BasicLauncher)
    store_options("hydra/launcher", "basic", BasicLauncherConf)
