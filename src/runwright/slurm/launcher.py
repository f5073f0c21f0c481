"""The launcher plugin for Hydra; imports nothing heavy until jobs are submitted."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from typing_extensions import override

from runwright.compose.plugin_options import chosen_options
from runwright.extras import require_extra
from runwright.slurm import launcher_options as options

options.store()


class SlurmLauncher(Launcher):
    """`hydra/launcher=runwright_slurm`: `launcher_options.py` has its options."""

    _hydra: dict[str, Any]

    def __init__(self, **chosen: Any) -> None:
        self._options = chosen_options(options.SlurmCfg, chosen)

    @override
    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self._hydra = {
            "hydra_context": hydra_context,
            "task_function": task_function,
            "config": config,
        }

    @override
    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        require_extra("submitit", "slurm", "hydra/launcher=runwright_slurm")
        from runwright.slurm.launch import launch

        jobs = [list(overrides) for overrides in job_overrides]
        return launch(self._options, jobs, initial_job_idx, **self._hydra)
