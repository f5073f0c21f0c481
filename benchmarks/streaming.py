"""Reading examples: `TorchSplit` and `Streamed` against torch's `DataLoader`, in examples a second.

    python benchmarks/streaming.py

All read the same dataset with the same transforms into batches of 64, shuffled, for nobody: what
is timed is how fast batches come. `DataLoader` keeps its workers from one epoch to the next. The
sides take turns, an epoch each, in an order that differs from round to round, in one process with
one thread. Ratios are medians over the rounds, with the lowest and the highest; the `DataLoader`
against a second one shows how precise they are. The start of an epoch, until its first batch is
there, is part of it, and is given by itself as well: of the first epoch, in which workers are
started, and of those after it.

`rows`: an example is a row of a tensor, so that what is beside it shows. `images`: an image of 32
pixels, shifted, mirrored and normalised at random, as people train on them. `Streamed` gathers the
same examples one by one, without what `TorchSplit` does so that every draw can be had again; it
gathers `rows` at once, as it is meant to.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import (
    DataLoader,
    Dataset,
    default_collate,  # pyright: ignore[reportUnknownVariableType]  # torch does not say what it takes
)
from typing_extensions import override

from runwright import Batch, Streamed, TorchSplit

CPU: Final = torch.device("cpu")
BATCH: Final = 64
PEER: Final = "DataLoader"


@attrs.frozen(kw_only=True)
class Examples(Batch):
    """What all sides make."""

    value: Tensor
    label: Tensor


class Rows(Dataset[Any]):
    """Rows of 64 numbers."""

    def __init__(self, count: int) -> None:
        """Random ones."""
        self.values, self.labels = torch.randn(count, 64), torch.randint(10, (count,))

    def __len__(self) -> int:
        return len(self.values)

    @override
    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.values[index], self.labels[index]


class Images(Dataset[Any]):
    """Images of (3, 32, 32), shifted by up to 4 pixels and mirrored at random."""

    def __init__(self, count: int) -> None:
        """Random ones."""
        self.pixels = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8)
        self.labels = torch.randint(10, (count,))
        self.mean, self.deviation = torch.full((3, 1, 1), 0.5), torch.full((3, 1, 1), 0.25)

    def __len__(self) -> int:
        return len(self.pixels)

    @override
    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = (self.pixels[index].float() / 255 - self.mean) / self.deviation
        left, top = (int(torch.randint(9, ())) for _ in range(2))
        image = functional.pad(image, (4, 4, 4, 4))[:, top : top + 32, left : left + 32]
        return image.flip(2) if torch.rand(()) < 0.5 else image, self.labels[index]


class Gathered(Streamed[Examples]):
    """A dataset by a split of one's own."""

    def __init__(self, dataset: Rows | Images, num_workers: int) -> None:
        """All of its examples, shuffled."""
        super().__init__(
            len(dataset), batch_size=BATCH, shuffle_seed=0, device=CPU, num_workers=num_workers
        )
        self.dataset = dataset

    @override
    def gather(self, positions: Tensor, epoch: int) -> Examples:
        del epoch
        if isinstance(self.dataset, Rows):
            values, labels = self.dataset.values[positions], self.dataset.labels[positions]
        else:
            values, labels = default_collate([self.dataset[int(index)] for index in positions])
        return Examples(value=values, label=labels)


Epoch = Callable[[int], Iterator[Any]]


def sides(dataset: Rows | Images, num_workers: int) -> dict[str, Epoch]:
    """What gives the batches of an epoch, by name."""

    def loader() -> Epoch:
        made: DataLoader[Any] = DataLoader(
            dataset,
            batch_size=BATCH,
            shuffle=True,
            drop_last=True,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
        )
        return lambda _: iter(made)

    split = TorchSplit(
        dataset, Examples, batch_size=BATCH, shuffle_seed=0, device=CPU, num_workers=num_workers
    )
    return {
        "TorchSplit": split.batches,
        "Streamed": Gathered(dataset, num_workers).batches,
        PEER: loader(),
        "the same once more": loader(),
    }


def timed(epoch: Epoch, number: int) -> tuple[float, float, int]:
    """The seconds until the first batch, those of the whole epoch, and the number of batches."""
    started = time.perf_counter()
    batches = epoch(number)
    next(batches)
    first = time.perf_counter() - started
    count = 1 + sum(1 for _ in batches)
    return first, time.perf_counter() - started, count


def spread(values: list[float], digits: int) -> str:
    """The median, the lowest and the highest."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def compare(dataset: Rows | Images, num_workers: int, rounds: int) -> None:
    """Print the ratios."""
    made = sides(dataset, num_workers)
    first = {name: timed(epoch, 0)[0] for name, epoch in made.items()}
    starts: dict[str, list[float]] = {name: [] for name in made}
    rates: dict[str, list[float]] = {name: [] for name in made}
    for number in range(1, rounds + 1):
        for name in random.Random(number).sample(list(made), len(made)):
            start, seconds, batches = timed(made[name], number)
            starts[name].append(start)
            rates[name].append(BATCH * batches / seconds)
    for name, rate in rates.items():
        ratios = [one / peer for one, peer in zip(rate, rates[PEER], strict=True)]
        print(
            f"  {name:18}  {statistics.median(rate):8.0f}/s  {spread(ratios, 2):22}  first batch "
            f"after {1000 * first[name]:.1f} ms, then {1000 * statistics.median(starts[name]):.1f}"
        )


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2])
    args = parser.parse_args()
    torch.set_num_threads(1)
    for dataset in (Rows(2**14), Images(2**11)):
        for num_workers in args.workers:
            name = type(dataset).__name__.lower()
            print(f"{name}, {num_workers} workers: examples a second, and as a multiple of {PEER}")
            compare(dataset, num_workers, args.rounds)


if __name__ == "__main__":
    main()
