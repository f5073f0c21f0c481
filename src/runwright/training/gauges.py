"""What `training.track` asks for: the norm of the gradients, the speed, the memory of the GPU."""

import logging
import time
from collections.abc import Collection
from typing import Any

import torch

from runwright.training.sharding import full
from runwright.training.step import TrainStep

log = logging.getLogger(__name__)

_GIB = 2**30


class Gauges:
    """They are read when the training loss is, so that no other step waits for the device."""

    def __init__(
        self,
        track: Collection[str],
        step: TrainStep[Any],
        device: torch.device,
        *,
        examples_per_step: float,
    ) -> None:
        """Track these of a training step, which takes so many examples on average."""
        self._track, self._step, self._device = track, step, device
        self._examples_per_step = examples_per_step
        self._last: tuple[int, float] | None = None
        if "gpu_memory" in track and device.type != "cuda":
            log.warning("training.track: there is no gpu_memory to record on %s.", device)

    def read(self, number: int) -> dict[str, float]:
        """What is tracked, by name, after so many steps."""
        found: dict[str, float] = {}
        norm = self._step.grad_norm
        if norm is not None:
            found["grad_norm"] = float(full({"norm": norm})["norm"])
        if "examples_per_second" in self._track:
            now = time.monotonic()
            if self._last is not None and number > self._last[0]:
                steps, seconds = number - self._last[0], now - self._last[1]
                found["examples_per_second"] = steps * self._examples_per_step / seconds
            self._last = number, now
        if "gpu_memory" in self._track and self._device.type == "cuda":
            found["gpu_memory"] = torch.cuda.max_memory_allocated(self._device) / _GIB
            torch.cuda.reset_peak_memory_stats(self._device)
        return found
