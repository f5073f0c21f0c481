"""Random numbers on the device, each a function of (seed, epoch, index of the example).

There is no generator and so no state: an example gets the same numbers in a batch of any size, in
any process, and after a run was resumed. Only integers are computed, so all devices agree to the
bit, nothing waits for the device, and the shapes are fixed.
"""

from typing import Final

import numpy as np
import torch
from torch import Tensor

_GAMMA: Final = 0x9E3779B97F4A7C15 - 2**64  # 2⁶⁴ divided by the golden ratio, as an int64
_FIRST: Final = 0xBF58476D1CE4E5B9 - 2**64
_SECOND: Final = 0x94D049BB133111EB - 2**64
_MOST: Final = 64
_FRACTION: Final = 24  # the bits of a float32's fraction


class Draws:
    """The random numbers of a batch of examples in an epoch.

    What is drawn for one purpose has a number of its own, 0 … 63: two draws with the same number
    are the same.

    Attributes:
        epoch: the number of the epoch, (), int64.
        index: the number of each example, (B,), int64.
    """

    def __init__(self, seed: int, epoch: int | Tensor, index: Tensor) -> None:
        """Draw for these examples.

        Args:
            seed: the seed of the run.
            epoch: the number of the epoch; an int64 tensor of shape () where a captured graph is to
                read it anew.
            index: (B,), int64, the number of each example, on the device.
        """
        if not isinstance(epoch, Tensor):  # filled, because a copy would wait for the device
            epoch = torch.full((), epoch, dtype=torch.int64, device=index.device)
        self.epoch = epoch
        self.index = index
        self._of_seed = _word(seed)
        self._of_epoch = _mixed(epoch * _GAMMA + self._of_seed)

    def uniform(self, number: int) -> Tensor:
        """Uniform in [0, 1), (B,), float32."""
        return (self._bits(number) >> (64 - _FRACTION) & (1 << _FRACTION) - 1) * 2.0**-_FRACTION

    def integers(self, number: int, end: int) -> Tensor:
        """Integers 0 … end − 1, (B,), int64; `end` is below 2³¹."""
        return (self._bits(number) >> 32 & 0xFFFFFFFF) * end >> 32

    def coins(self, number: int, *, every_epoch: bool = True) -> Tensor:
        """True or false, (B,), with equal chances.

        Args:
            number: the number of the draw.
            every_epoch: whether to draw anew in every epoch; else an example keeps what it has.
        """
        return self._bits(number, every_epoch=every_epoch) < 0

    def _bits(self, number: int, *, every_epoch: bool = True) -> Tensor:
        """64 random bits for each example, (B,), int64."""
        if not 0 <= number < _MOST:
            raise ValueError(f"the number of a draw must be 0 … {_MOST - 1}, got {number}")
        counter = self.index * _MOST + (number + 1)
        return _mixed(counter * _GAMMA + (self._of_epoch if every_epoch else self._of_seed))


def _word(seed: int) -> int:
    """64 bits that depend on the seed, as an int64."""
    return int(np.random.SeedSequence([seed]).generate_state(1, np.uint64).view(np.int64)[0])


def _mixed(number: Tensor) -> Tensor:
    """SplitMix64's output function of int64 tensors, which wrap around; see `generators.py`."""
    number = (number ^ _shifted(number, 30)) * _FIRST
    number = (number ^ _shifted(number, 27)) * _SECOND
    return number ^ _shifted(number, 31)


def _shifted(number: Tensor, bits: int) -> Tensor:
    """Shifted to the right with zeros moving in, which `>>` does not do with a negative number."""
    return number >> bits & (1 << (64 - bits)) - 1
