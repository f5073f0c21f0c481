"""A model and a prediction that draw at random, in evaluation too; run, a `main.py` of them."""

import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from runwright import ModelFactory, ObjectiveFactory, app, factory
from toy_domain import SetBatch, SetDims, SquaredDistance

if __name__ == "__main__":
    from training import own_measures  # pyright: ignore[reportUnusedImport]  # noqa: F401  # registers


class Uncertain(nn.Module):
    """Draws in training and in evaluation, in all three ways."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layer = nn.Linear(features, features)

    def forward(self, vectors: Tensor) -> Tensor:
        scale = 1 + 0.1 * (random.random() + np.random.random())
        return nn.functional.dropout(self.layer(vectors) * scale, 0.3, training=True)


@factory("uncertain")
class UncertainFactory(ModelFactory[SetDims]):
    """One layer whose dropout is always on."""

    def build(self, dims: SetDims) -> nn.Module:
        return Uncertain(dims.features)


@factory("sampled_error")
class SampledError(ObjectiveFactory[SetDims, SetBatch]):
    """Mean squared error, and a prediction that draws too."""

    def build(self, dims: SetDims, device: torch.device) -> "Sampled":
        return Sampled()


class Sampled(SquaredDistance):
    def predict(self, model: nn.Module, batch: SetBatch) -> dict[str, Any]:
        errors = (model(batch.vectors) - batch.target).square().mean((1, 2))
        return {"error": (errors + torch.rand(len(batch))).numpy()}

    def measures_of(self, table: Mapping[str, Any]) -> dict[str, float]:
        return {"loss": float(np.mean(table["error"]))}


if __name__ == "__main__":
    app.main(conf=None)
