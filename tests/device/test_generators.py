"""The global generators begin anew for every example, and each example draws something else."""

import random
from collections.abc import Callable

import numpy as np
import torch

from runwright.device.generators import SeededReading, generators_kept, seed_generators


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


def seldom(index: int) -> list[float]:
    """Draws from torch always, from Python and NumPy for few examples."""
    found = [float(torch.rand(()))]
    if index % 11 == 5:
        found.append(random.random())
    if index % 17 == 9:
        found.append(float(np.random.random()))
        if found[-1] < 0.05:  # an error of the draw is one of that example
            raise ValueError(index)
    return found


def outcomes(read: Callable[[list[int]], object]) -> list[object]:
    results: list[object] = []
    for start in range(0, 400, 8):
        try:
            results.append(read(list(range(start, start + 8))))
        except ValueError as error:
            results.append(str(error))
    return results


def test_examples_draw_what_they_draw_when_all_are_seeded_for_each() -> None:
    def each(indices: list[int]) -> list[list[float]]:
        found: list[list[float]] = []
        for index in indices:
            seed_generators(7, 3, index)
            found.append(seldom(index))
        return found

    reading = SeededReading()
    expected = outcomes(each)
    assert outcomes(lambda indices: reading.read(indices, seldom, seed=7, epoch=3)) == expected
    assert any(isinstance(one, str) for one in expected)


def test_examples_are_read_again_only_when_the_first_draw_of_a_generator_shows() -> None:
    read: list[int] = []

    def get(index: int) -> float:
        read.append(index)
        return np.random.random() if index >= 10 else float(torch.rand(()))

    reading = SeededReading()
    for start in range(0, 20, 5):
        reading.read(range(start, start + 5), get, seed=0, epoch=0)
    assert read == [0, *range(15), *range(10, 20)]


def test_they_are_left_as_they_were_found() -> None:
    expected = drawn(1, 2, 3)
    seed_generators(1, 2, 3)
    with generators_kept():
        drawn(7, 7, 7)
    found = [random.random(), float(np.random.random()), float(torch.rand((), dtype=torch.float64))]
    assert found == expected
