"""The losses of the training steps, read from the device as seldom as can be."""

from typing import Final, cast

import torch
from torch import Tensor

from runwright.distributed import World

_ALONE: Final = World()


class LossHistory:
    """The losses since they were last recorded, left on the device until they are read."""

    def __init__(self, world: World = _ALONE) -> None:
        """Start empty."""
        self._world = world
        self._read: dict[str, list[float]] = {}
        self._on_device: list[dict[str, Tensor]] = []

    def add(self, losses: dict[str, Tensor]) -> None:
        """Note the losses of one batch, without waiting for the device."""
        self._on_device.append({name: value.detach() for name, value in losses.items()})

    def read(self) -> dict[str, list[float]]:
        """Every loss since the last `clear`, in order, the mean over the processes.

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

    def clear(self) -> None:
        """Forget all."""
        self._read = {}

    def restore(self, losses: dict[str, list[float]]) -> None:
        """Go on from what `read` returned."""
        self._read = dict(losses)
