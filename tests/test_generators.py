"""The global generators begin anew for every example, and each example draws something else."""

import random

import numpy as np
import torch

from runwright.generators import generators_kept, seed_generators


def drawn(seed: int, epoch: int, index: int) -> list[float]:
    seed_generators(seed, epoch, index)
    return [random.random(), float(np.random.random()), float(torch.rand((), dtype=torch.float64))]


def test_what_is_drawn_is_a_function_of_seed_epoch_and_index() -> None:
    keys = [(3, 0, 0), (3, 0, 1), (3, 1, 0), (4, 0, 0), (2**64 - 1, 10**6, 10**9)]
    draws = [drawn(*key) for key in keys]
    assert draws == [drawn(*key) for key in keys]
    assert len({value for one in draws for value in one}) == 3 * len(keys)


def test_neighbouring_examples_have_nothing_in_common() -> None:
    draws = np.array([drawn(0, 0, index) for index in range(4000)])
    assert np.abs(draws.mean(axis=0) - 0.5).max() < 0.02  # 4 standard errors
    both = np.hstack([draws[:-1], draws[1:]])
    correlations = np.corrcoef(both.T) - np.eye(6)
    assert np.abs(correlations).max() < 0.08


def test_they_are_left_as_they_were_found() -> None:
    expected = drawn(1, 2, 3)
    seed_generators(1, 2, 3)
    with generators_kept():
        drawn(7, 7, 7)
    found = [random.random(), float(np.random.random()), float(torch.rand((), dtype=torch.float64))]
    assert found == expected
