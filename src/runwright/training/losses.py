"""The losses of the training steps, read from the device as rarely as possible."""

import math
from typing import Final, cast

import torch
from torch import Tensor

from runwright.distributed import World

_ALONE: Final = World()


class LossHistory:
    """The losses since they were last recorded, kept on the device until they are read."""

    def __init__(self, world: World = _ALONE) -> None:
        self._world = world
        self._read: dict[str, list[float]] = {}
        self._on_device: list[dict[str, Tensor]] = []
        self._last_mean = math.nan

    def add(self, losses: list[dict[str, Tensor]]) -> None:
        """Note the losses of some batches, without waiting for the device."""
        self._on_device += losses

    def read(self) -> dict[str, list[float]]:
        """Every loss since `means` was last called, in order, averaged over the processes.

        Waits for the device, and for the other processes.
        """
        if self._on_device:
            for name in self._on_device[0]:
                stacked = torch.stack([losses[name] for losses in self._on_device]).float()
                self._world.all_reduce([stacked])
                stacked /= self._world.size
                values = cast("list[float]", stacked.tolist())
                self._read.setdefault(name, []).extend(values)
            self._on_device = []
        return self._read

    def means(self) -> dict[str, float]:
        """The mean of every loss since this was last called."""
        means = {name: sum(values) / len(values) for name, values in self.read().items()}
        self._read = {}
        self._last_mean = means["loss"]
        return means

    def recent_mean(self) -> float:
        """The mean of `loss` over the steps not yet recorded, or the last recorded one."""
        values = self.read().get("loss")
        return sum(values) / len(values) if values else self._last_mean

    def restore(self, losses: dict[str, list[float]]) -> None:
        """Continue from what `read` returned."""
        self._read = dict(losses)
