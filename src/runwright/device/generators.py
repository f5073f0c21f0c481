"""The global random generators of Python, NumPy and torch."""

import contextlib
import random
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

import numpy as np
import torch

T = TypeVar("T")

_EVALUATION: Final = 2**63  # in place of an epoch: no data are read in one of that number
_64_BITS: Final = 2**64 - 1
_GAMMA: Final = 0x9E3779B97F4A7C15  # 2⁶⁴ divided by the golden ratio, odd


def generator_states() -> Any:
    """The states of all three, on the CPU."""
    return random.getstate(), np.random.get_state(), torch.default_generator.get_state()


def restore_generators(states: Any) -> None:
    """Set all three to what `generator_states` returned."""
    for_python, for_numpy, for_torch = states
    random.setstate(for_python)
    np.random.set_state(for_numpy)
    torch.default_generator.set_state(for_torch)


def seed_generators(seed: int, epoch: int, index: int = 0) -> None:
    """Seed all three on the CPU, as a function of these numbers."""
    _seed(_SEEDS, seed, epoch, index)


def _seed(names: Iterable[str], seed: int, epoch: int, index: int) -> None:
    # It is called for every example, so what does not depend on the index is computed once.
    words = _words(seed, epoch)
    for name in names:
        place, use = _SEEDS[name]
        use(_mixed(words[place] + _GAMMA * (index + 1)))


_SEEDS: Final[dict[str, tuple[int, Callable[[int], object]]]] = {
    "python": (0, random.seed),
    "numpy": (1, lambda word: np.random.seed(word % 2**32)),
    "torch": (2, lambda word: torch.default_generator.manual_seed(word >> 1)),
}

_DRAWS: Final[dict[str, Callable[[], object]]] = {
    "python": lambda: random.getrandbits(64),
    "numpy": lambda: np.random.bytes(8),
}


class SeededReading:
    """Reads examples, each after the generators were seeded by its number.

    To seed those of Python and NumPy takes longer than to read many an example, and few datasets
    draw from them. So each is seeded for the first example of a batch, and for all of them only
    once one has drawn from it. What had been read without is read again.
    """

    def __init__(self) -> None:
        self._seeded = ["torch"]  # the generators that examples are known to draw from
        self._has_read = False

    def read(
        self, indices: Sequence[int], get: Callable[[int], T], *, seed: int, epoch: int
    ) -> list[T]:
        """What `get` returns for each of these; changes the generators."""
        if not self._has_read:  # the first example shows most of it
            self._has_read = True
            self.read(indices[:1], get, seed=seed, epoch=epoch)
        others = _DRAWS.keys() - self._seeded
        _seed(others, seed, epoch, indices[0])
        expected = {name: _DRAWS[name]() for name in others}
        _seed(others, seed, epoch, indices[0])
        examples: list[T] = []
        failed: Exception | None = None
        try:
            for index in indices:
                _seed(self._seeded, seed, epoch, index)
                examples.append(get(index))
        except Exception as error:  # noqa: BLE001  # raised below, unless it came of a wrong draw
            failed = error
        drawn_from = [name for name in others if _DRAWS[name]() != expected[name]]
        self._seeded += drawn_from
        if drawn_from and len(indices) > 1:
            return self.read(indices, get, seed=seed, epoch=epoch)
        if failed is not None:
            raise failed
        return examples


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


def each_seeded(
    batches: Iterable[T], seed: int, device: torch.device, *, start: int = 0
) -> Iterator[T]:
    """The batches of an evaluation, between which the generators are seeded.

    What is drawn for a batch depends on the seed and on the number of the batch alone: so it does
    not depend on the training, nor on how many processes there are.

    Args:
        batches: the batches.
        seed: the seed of the run.
        device: where the model is.
        start: the number of the first batch.
    """
    seed_for_evaluation(seed, start, device)
    for number, batch in enumerate(batches, start + 1):
        yield batch
        seed_for_evaluation(seed, number, device)


def seed_for_evaluation(seed: int, number: int, device: torch.device) -> None:
    """Seed the generators for a batch of an evaluation, on the GPU too if the model is there."""
    seed_generators(seed, _EVALUATION, number)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(torch.initial_seed())


@contextlib.contextmanager
def generators_kept(device: torch.device | None = None) -> Generator[None]:
    """Restore the generators at the end, for the code that they belong to.

    Args:
        device: a GPU whose generator is restored, too.
    """
    states = generator_states()
    on_gpu = torch.cuda.get_rng_state(device) if device and device.type == "cuda" else None
    try:
        yield
    finally:
        restore_generators(states)
        if device and on_gpu is not None:
            torch.cuda.set_rng_state(on_gpu, device)
