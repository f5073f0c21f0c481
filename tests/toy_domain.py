"""A second domain, made from outside the package: sets of vectors in, sets of vectors out."""

import attrs
import torch
from torch import Tensor, nn

from runwright import (
    Batch,
    Data,
    DataModule,
    Dims,
    InMemory,
    ModelFactory,
    Objective,
    ObjectiveFactory,
    Runtime,
    factory,
    option,
)


@attrs.frozen(kw_only=True)
class SetDims(Dims):
    features: int


@attrs.frozen(kw_only=True)
class SetBatch(Batch):
    vectors: Tensor  # (B, N, features)
    target: Tensor  # (B, N, features)


@factory("toy_sets")
class ToySets(DataModule[SetDims, SetBatch]):
    """Random sets; the target of a vector is its offset from the mean of its set."""

    default_objective = "set_error"
    features: int = option(default=3, ge=1, doc="length of a vector")

    def expected_dims(self) -> SetDims:
        return SetDims(features=self.features)

    def build(self, runtime: Runtime) -> Data[SetDims, SetBatch]:
        x = torch.randn(64, 5, self.features, generator=torch.Generator().manual_seed(0))
        sets = SetBatch(vectors=x, target=x - x.mean(dim=1, keepdim=True)).to(runtime.device)
        train = InMemory(sets, batch_size=8, shuffle_seed=runtime.seed)
        val = InMemory(sets, batch_size=64, shuffle_seed=None)
        return Data(dims=self.expected_dims(), train=train, val=val)


@factory("set_encoder")
class SetEncoder(ModelFactory[SetDims]):
    """One layer of attention over the set."""

    def build(self, dims: SetDims) -> nn.Module:
        return nn.TransformerEncoderLayer(dims.features, 1, 16, dropout=0.1, batch_first=True)


@factory("set_error")
class SetError(ObjectiveFactory[SetDims, SetBatch]):
    """Mean squared error between sets."""

    def build(self, dims: SetDims, device: torch.device) -> "SquaredDistance":
        return SquaredDistance()


class SquaredDistance(Objective[SetBatch]):
    monitor, higher_is_better = "loss", {"loss": False, "largest": False}

    def losses(self, model: nn.Module, batch: SetBatch) -> dict[str, Tensor]:
        errors = (model(batch.vectors) - batch.target).square()
        return {"loss": errors.mean(), "largest": errors.max()}
