"""An objective with measures of its own; run, it is a `main.py` of them."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from typing_extensions import override

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from runwright import (
    Data,
    InMemory,
    Measure,
    ObjectiveFactory,
    OutputObjective,
    Runtime,
    WholeSplit,
    app,
    factory,
    option,
)
from toy_domain import SetBatch, SetDims, ToySets


class Pearson(WholeSplit[SetBatch, Tensor]):
    """Pearson's correlation between outputs and targets, over all numbers of a split."""

    @override
    def columns(self, outputs: Tensor, batch: SetBatch) -> dict[str, Tensor]:
        return {"output": outputs, "target": batch.target}

    @override
    def measure(self, columns: dict[str, Tensor]) -> dict[str, float]:
        if not columns:
            return {"pearson": math.nan}
        pairs = torch.stack([columns[name].flatten().double() for name in ("output", "target")])
        return {"pearson": float(torch.corrcoef(pairs)[0, 1])}


class MeanOfBatches(Measure[SetBatch, Tensor]):
    """What a correlation over a split is not: the mean of those over its batches."""

    def __init__(self) -> None:
        self._values: list[float] = []

    @override
    def update(self, outputs: Tensor, batch: SetBatch) -> None:
        pairs = torch.stack([outputs.flatten(), batch.target.flatten()])
        self._values.append(float(torch.corrcoef(pairs)[0, 1]))

    @override
    def compute(self) -> dict[str, float]:
        return {"mean_pearson": sum(self._values) / len(self._values) if self._values else math.nan}

    @override
    def all_reduce(self, world: object) -> None:
        """Of no interest here."""


class Correlated(OutputObjective[SetBatch, Tensor]):
    """Mean squared error, and how outputs and targets correlate."""

    monitor, higher_is_better = "loss", {"loss": False, "pearson": True}

    @override
    def outputs(self, model: nn.Module, batch: SetBatch) -> Tensor:
        return model(batch.vectors)

    @override
    def losses_of(self, outputs: Tensor, batch: SetBatch) -> dict[str, Tensor]:
        return {"loss": (outputs - batch.target).square().mean()}

    @override
    def measures(self) -> Sequence[Measure[SetBatch, Tensor]]:
        return [*super().measures(), Pearson(), MeanOfBatches()]


@factory("set_correlation")
class CorrelatedFactory(ObjectiveFactory[SetDims, SetBatch]):
    """Mean squared error between sets, and correlations."""

    def build(self, dims: SetDims, device: torch.device) -> Correlated:
        return Correlated()


@factory("toy_sets_in_small_batches")
class SmallBatches(ToySets):
    """Random sets, validated in batches of a size of one's own."""

    val_batch: int = option(default=30, ge=1, doc="sets in a batch of the validation")

    def build(self, runtime: Runtime) -> Data[SetDims, SetBatch]:
        data = super().build(runtime)
        assert isinstance(data.val, InMemory)
        val = InMemory(data.val.examples, batch_size=self.val_batch, shuffle_seed=None)
        return Data(dims=data.dims, train=data.train, val=val)


if __name__ == "__main__":
    app.main(conf=None)
