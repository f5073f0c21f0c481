"""The exponential moving average of a model's weights."""

import copy

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class MovingAverage:
    """Exponential moving average of the weights: a ← decay·a + (1 − decay)·w after every step.

    Buffers (the running statistics of batch normalisation) are copied. The averaging is torch's;
    its `AveragedModel` gives the same bytes, but waits for the device in every step, to read its
    counter, and takes twice the time.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Start from the weights of `model`."""
        self.model = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
        self._average = get_ema_multi_avg_fn(decay)
        self._updates = torch.zeros((), dtype=torch.int64)  # required by torch, but not used

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Update the average with the weights after a step."""
        self._average(list(self.model.parameters()), list(model.parameters()), self._updates)
        for mine, other in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(other)
