"""Draws that depend on the seed, the epoch and the example, and on nothing else."""

import numpy as np
import pytest
import torch

from runwright import Draws
from runwright.device import generators
from runwright.device.draws import _mixed  # pyright: ignore[reportPrivateUsage]  # against the integers of Python

COUNT = 100_000


def test_the_bits_are_those_of_splitmix64() -> None:
    some = torch.from_numpy(np.random.default_rng(0).integers(-(2**63), 2**63, 1000))
    ours = [number % 2**64 for number in _mixed(some).tolist()]
    assert ours == [generators._mixed(number % 2**64) for number in some.tolist()]  # pyright: ignore[reportPrivateUsage]


def test_an_example_draws_the_same_in_any_batch() -> None:
    some = torch.tensor([5, 99, 3, 77_000])
    whole, part = Draws(1, 2, torch.arange(COUNT)), Draws(1, 2, some)
    assert torch.equal(whole.uniform(0)[some], part.uniform(0))
    assert torch.equal(whole.integers(1, 10)[some], part.integers(1, 10))
    assert torch.equal(whole.coins(2)[some], part.coins(2))


def test_an_epoch_in_a_tensor_is_the_same_epoch() -> None:
    index = torch.arange(100)
    assert torch.equal(Draws(1, 7, index).uniform(0), Draws(1, torch.tensor(7), index).uniform(0))


@pytest.mark.parametrize(
    ("seed", "epoch", "number"), [(2, 0, 0), (1, 1, 0), (1, 0, 1), (2**64 - 1, 0, 0)]
)
def test_seed_epoch_and_number_each_make_others(seed: int, epoch: int, number: int) -> None:
    index = torch.arange(COUNT)
    one, other = Draws(1, 0, index).uniform(0), Draws(seed, epoch, index).uniform(number)
    assert abs(np.corrcoef(one.numpy(), other.numpy())[0, 1]) < 0.015
    assert float((one == other).float().mean()) < 0.001


def test_neighbours_have_nothing_in_common_and_all_values_are_as_frequent() -> None:
    draws = Draws(0, 0, torch.arange(COUNT))
    values = draws.uniform(0).numpy()
    assert values.dtype == np.float32
    assert 0 <= values.min() < values.max() < 1
    counts = np.histogram(values, bins=20, range=(0, 1))[0]
    assert np.abs(counts - COUNT / 20).max() < 5 * (COUNT / 20) ** 0.5
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.015
    numbers = torch.bincount(draws.integers(1, 7), minlength=7).numpy()
    assert len(numbers) == 7
    assert np.abs(numbers - COUNT / 7).max() < 5 * (COUNT / 7) ** 0.5
    assert abs(float(draws.coins(2).float().mean()) - 0.5) < 0.01


def test_a_coin_may_be_kept_over_the_epochs() -> None:
    index = torch.arange(1000)
    first, second = (Draws(3, epoch, index) for epoch in (0, 1))
    assert torch.equal(first.coins(0, every_epoch=False), second.coins(0, every_epoch=False))
    assert not torch.equal(first.coins(0), second.coins(0))
    assert not torch.equal(first.coins(0), first.coins(0, every_epoch=False))


def test_a_number_beyond_those_of_an_example_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be 0 … 63, got 64"):
        Draws(0, 0, torch.arange(2)).uniform(64)
