"""A network of an encoder and a head on the toy domain's sets, and weights of it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from typing_extensions import override

from conftest import last_of_each
from runwright import ModelFactory, compose, factory, option
from toy_domain import SetDims

OPTIONS = ("dm=toy_sets", "model=set_network", "gpu=-1", "opt.lr=0.01", "training.epochs=2")


@factory("set_network")
class SetNetworkFactory(ModelFactory[SetDims]):
    """An encoder with batch normalisation and dropout, and a head."""

    width: int = option(default=8, ge=1, doc="width of the encoder")
    head_width: int = option(default=4, ge=1, doc="width of the head")

    @override
    def build(self, dims: SetDims) -> nn.Module:
        return SetNetwork(dims.features, self.width, self.head_width)


class SetNetwork(nn.Module):
    def __init__(self, features: int, width: int, head_width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(features, width),
            nn.BatchNorm1d(width),
            nn.GELU(),
            nn.Dropout(0.1),
            nn.Linear(width, width),
        )
        self.head = nn.Sequential(
            nn.Linear(width, head_width), nn.GELU(), nn.Linear(head_width, features)
        )

    @override
    def forward(self, vectors: Tensor) -> Tensor:
        found: Tensor = self.head(self.encoder(vectors.flatten(0, 1)))
        return found.view_as(vectors)


def network(*, seed: int = 0, head_width: int = 4) -> SetNetwork:
    torch.manual_seed(seed)
    model = SetNetwork(3, 8, head_width)
    for name, tensor in model.named_buffers():  # statistics that no fresh model has
        if name.endswith("running_mean"):
            tensor.fill_(0.5)
    return model


def finetune(run_dir: Path | str, *overrides: str, base: Sequence[str] = OPTIONS) -> float:
    return compose(last_of_each(*base, *overrides)).run(run_dir)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file of weights that fit, as torch.save writes it."""
    path = tmp_path / "base.pth"
    torch.save(network().state_dict(), path)
    return path
