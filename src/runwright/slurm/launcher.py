"""The launcher plugin for Hydra; imports nothing heavy until jobs are submitted."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from typing_extensions import override

from runwright.cli.basic_launcher import is_basic_sweeper
from runwright.compose.loader import StrictConfigLoader
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
        self._leave_jobs_to_launch()

    def _leave_jobs_to_launch(self) -> None:
        """Compose each job once: `launch` submits none before all are composed and checked."""
        loader = self._hydra["hydra_context"].config_loader
        assert isinstance(loader, StrictConfigLoader)
        loader.left_to_launcher = is_basic_sweeper(self._hydra["config"])

    @override
    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        require_extra("submitit", "slurm", "hydra/launcher=runwright_slurm")
        from runwright.slurm.launch import launch

        jobs = [list(overrides) for overrides in job_overrides]
        self._hydra["hydra_context"].config_loader.left_to_launcher = False
        returned = launch(self._options, jobs, initial_job_idx, **self._hydra)
        self._leave_jobs_to_launch()  # those of the next batch
        return returned
