"""The global random generators of Python, NumPy and torch, on the CPU."""

import contextlib
import random
from collections.abc import Generator
from functools import lru_cache
from typing import Any, Final

import numpy as np
import torch

_64_BITS: Final = 2**64 - 1
_GAMMA: Final = 0x9E3779B97F4A7C15  # 2⁶⁴ divided by the golden ratio, odd


def generator_states() -> Any:
    """The states of all three."""
    return random.getstate(), np.random.get_state(), torch.default_generator.get_state()


def restore_generators(states: Any) -> None:
    """Set all three to what `generator_states` returned."""
    for_python, for_numpy, for_torch = states
    random.setstate(for_python)
    np.random.set_state(for_numpy)
    torch.default_generator.set_state(for_torch)


def seed_generators(seed: int, epoch: int, index: int = 0) -> None:
    """Seed all three, as a function of these numbers.

    It is called for every example, so what does not depend on the index is computed once.
    """
    words = [_mixed(word + _GAMMA * (index + 1)) for word in _words(seed, epoch)]
    random.seed(words[0])
    np.random.seed(words[1] % 2**32)
    torch.default_generator.manual_seed(words[2] >> 1)


@lru_cache(maxsize=8)
def _words(seed: int, epoch: int) -> list[int]:
    return [
        int(word) for word in np.random.SeedSequence([seed, epoch]).generate_state(3, np.uint64)
    ]


def _mixed(number: int) -> int:
    """SplitMix64's output function, by which neighbouring numbers have nothing in common.

    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, with the
    constants of Stafford's variant 13.
    """
    mixed = number & _64_BITS
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & _64_BITS
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & _64_BITS
    return mixed ^ (mixed >> 31)


@contextlib.contextmanager
def generators_kept() -> Generator[None]:
    """Restore all three at the end, for the code that they belong to."""
    states = generator_states()
    try:
        yield
    finally:
        restore_generators(states)
