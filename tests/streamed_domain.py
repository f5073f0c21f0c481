"""The sets of `toy_domain`, read in every way that a split can be: for tests of streaming."""

import os
import random
import signal
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset
from typing_extensions import override

from runwright import (
    Batched,
    Data,
    DataModule,
    InMemory,
    Runtime,
    Streamed,
    TorchSplit,
    TorchStream,
    factory,
    option,
)
from toy_domain import SetBatch, SetDims

COUNT, WIDTH = 60, 3
CPU = torch.device("cpu")


def vectors() -> torch.Tensor:
    return torch.randn(COUNT, 5, WIDTH, generator=torch.Generator().manual_seed(0))


def example(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A set with noise from every global generator, and its target."""
    x = x + 0.1 * torch.randn_like(x) + 0.1 * float(np.random.normal()) + 0.1 * random.random()
    return x, x - x.mean(dim=0, keepdim=True)


class NoisyDataset(Dataset[Any]):
    """As people write them: what is random comes from wherever."""

    def __init__(self) -> None:
        self.x = vectors()
        self.fatal: dict[int, Any] = {}

    def __len__(self) -> int:
        return COUNT

    @override
    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        if index in self.fatal:
            self.fatal[index]()
        return example(self.x[index])


class NoisyStream(IterableDataset[Any]):
    """Shuffles by itself, by the global generator."""

    epoch = -1

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    @override
    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        x = vectors() + self.epoch
        yield from (example(x[index]) for index in torch.randperm(COUNT).tolist())


class Gathered(Streamed[SetBatch]):
    """As a domain writes it: what is random is a function of seed, epoch and position."""

    @override
    def gather(self, positions: torch.Tensor, epoch: int) -> SetBatch:
        noise = [
            torch.from_numpy(np.random.default_rng([3, epoch, int(one)]).normal(size=(5, WIDTH)))
            for one in positions
        ]
        x = vectors()[positions] + torch.stack(noise).float()
        return SetBatch(vectors=x, target=x - x.mean(dim=1, keepdim=True))


WAYS = ["gather", "dataset", "stream"]


def split(
    way: str,
    num_workers: int = 0,
    *,
    shuffle_seed: int | None = 3,
    batch_size: int = 8,
    device: torch.device = CPU,
    dataset: NoisyDataset | None = None,
) -> Batched[SetBatch]:
    how: dict[str, Any] = {
        "batch_size": batch_size,
        "shuffle_seed": shuffle_seed,
        "device": device,
        "num_workers": num_workers,
    }
    if way == "gather":
        return Gathered(COUNT, **how)
    if way == "dataset":
        return TorchSplit(dataset or NoisyDataset(), SetBatch, **how)
    return TorchStream(NoisyStream(), SetBatch, num_examples=COUNT, **how)


@factory("streamed_sets")
class StreamedSets(DataModule[SetDims, SetBatch]):
    """The sets of toy_domain, streamed."""

    default_objective = "set_error"
    way: Literal["gather", "dataset", "stream"] = option(default="gather", doc="how they are read")
    num_workers: int = option(harmless=True, default=0, ge=0, doc="processes that read them")
    batch_size: int = option(default=8, ge=1, doc="sets a batch")
    deadly: int | None = option(default=None, doc="an example whose worker is killed")

    def build(self, runtime: Runtime) -> Data[SetDims, SetBatch]:
        dataset = NoisyDataset()
        if self.deadly is not None:
            dataset.fatal[self.deadly] = lambda: os.kill(os.getpid(), signal.SIGKILL)
        train = split(
            self.way,
            self.num_workers,
            shuffle_seed=runtime.seed,
            batch_size=self.batch_size,
            device=runtime.device,
            dataset=dataset,
        )
        x = vectors()
        fixed = SetBatch(vectors=x, target=x - x.mean(dim=1, keepdim=True)).to(runtime.device)
        val = InMemory(fixed, batch_size=30, shuffle_seed=None)
        return Data(dims=SetDims(features=WIDTH), train=train, val=val)
