"""The global random generators of Python, NumPy and torch, on the CPU."""

import contextlib
import random
from collections.abc import Generator
from typing import Any

import numpy as np
import torch


def generator_states() -> Any:
    """The states of all three."""
    return random.getstate(), np.random.get_state(), torch.default_generator.get_state()


def restore_generators(states: Any) -> None:
    """Set all three to what `generator_states` returned."""
    for_python, for_numpy, for_torch = states
    random.setstate(for_python)
    np.random.set_state(for_numpy)
    torch.default_generator.set_state(for_torch)


def seed_generators(*key: int) -> None:
    """Seed all three by some numbers."""
    words = [int(word) for word in np.random.SeedSequence(key).generate_state(3, np.uint64)]
    random.seed(words[0])
    np.random.seed(words[1] % 2**32)
    torch.default_generator.manual_seed(words[2] >> 1)


@contextlib.contextmanager
def generators_kept() -> Generator[None]:
    """Restore all three at the end, for the code that they belong to."""
    states = generator_states()
    try:
        yield
    finally:
        restore_generators(states)
