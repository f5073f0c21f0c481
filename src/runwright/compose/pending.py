"""The jobs of a multirun, from composing them until the first is launched."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from omegaconf import DictConfig

from runwright.config import Config, TrainingCfg

_BUILT: Final = ("dm", "model", "objective", "opt", "finetune", "wandb", "tensorboard", "gpu")


def parts_key(parts: Mapping[str, Any]) -> str:
    """A key that is equal for configurations that build the same parts, whatever their seeds."""
    training: TrainingCfg | None = parts.get("training")
    monitor = None if training is None else training.monitor
    return repr((*map(parts.get, _BUILT), monitor))


class PendingJobs:
    """The jobs of one multirun that were composed and are waiting to be launched.

    Attributes:
        composed: the configuration of the multirun itself; None before it is composed.
        has_launched: whether a job was started in this process.
        waiting: until then, one job for all that build the same parts: its overrides and its
            configuration.
        began: when the command was given, in seconds since 1970; also in a launcher's processes.
    """

    def __init__(self) -> None:
        self.composed: DictConfig | None = None
        self.has_launched = False
        self.waiting: dict[str, tuple[list[str], Config]] = {}
        self.began = time.time()

    @property
    def folder(self) -> Path | None:
        """Where the directories of the jobs are, or will be; None before it is known."""
        where = None if self.composed is None else self.composed.hydra.sweep.dir
        return None if where is None else Path(str(where))

    def add(self, overrides: list[str], config: Config) -> None:
        """Note a job that was composed."""
        if not self.has_launched:
            self.waiting.setdefault(parts_key(vars(config)), (overrides, config))

    def launch(self) -> None:
        """Note that the first job starts: the waiting jobs are valid."""
        self.waiting.clear()
        self.has_launched = True
