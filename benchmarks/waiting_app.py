"""An application whose trials wait, as for a device, and take uneven times; see sweep.py."""

import time
from types import MappingProxyType

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
    app,
    factory,
    option,
)


@attrs.frozen(kw_only=True)
class LineDims(Dims):
    """Vectors of this length."""

    features: int


@attrs.frozen(kw_only=True)
class LineBatch(Batch):
    """Vectors (B, features) and their images under a linear map (B, 1)."""

    x: Tensor
    y: Tensor


@factory("line")
class Line(DataModule[LineDims, LineBatch]):
    """A linear map with noise."""

    default_objective = "line"

    def build(self, runtime: Runtime) -> Data[LineDims, LineBatch]:
        """Draw the examples."""
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(256, 16, generator=generator)
        y = x @ torch.randn(16, 1, generator=generator) + 0.1 * torch.randn(
            256, 1, generator=generator
        )
        examples = LineBatch(x=x, y=y).to(runtime.device)
        train = InMemory(examples, batch_size=32, shuffle_seed=runtime.seed)
        val = InMemory(examples, batch_size=256, shuffle_seed=None)
        return Data(dims=LineDims(features=16), train=train, val=val)

    def expected_dims(self) -> LineDims:
        """Known from the options alone."""
        return LineDims(features=16)


class Waiting(nn.Module):
    """A linear layer whose forward pass takes a while."""

    def __init__(self, features: int, seconds: float) -> None:
        """Wait this many seconds per training batch."""
        super().__init__()
        self.linear = nn.Linear(features, 1)
        self.seconds = seconds

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (B, features) → (B, 1)."""
        if self.training:
            time.sleep(self.seconds)
        return self.linear(x)


@factory("waiting")
class WaitingFactory(ModelFactory[LineDims]):
    """A linear layer that takes its time."""

    seconds: float = option(default=0.01, ge=0, doc="seconds a training batch takes")

    def build(self, dims: LineDims) -> nn.Module:
        """Build it."""
        return Waiting(dims.features, self.seconds)


class SquaredError(Objective[LineBatch]):
    """The mean squared error."""

    monitor, higher_is_better = "loss", MappingProxyType({"loss": False})

    def losses(self, model: nn.Module, batch: LineBatch) -> dict[str, Tensor]:
        """The loss of a batch."""
        return {"loss": (model(batch.x) - batch.y).square().mean()}


@factory("line")
class SquaredErrorFactory(ObjectiveFactory[LineDims, LineBatch]):
    """Mean squared error."""

    def build(self, dims: LineDims, device: torch.device) -> SquaredError:
        """Build it."""
        del dims, device
        return SquaredError()


if __name__ == "__main__":
    app.main(conf=None, config_name="config_schema")
