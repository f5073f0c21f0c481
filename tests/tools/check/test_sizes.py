"""How large a model is, found without its memory and without its weights."""

import resource
from pathlib import Path

import attrs
import pytest
import torch
from torch import nn
from typing_extensions import override

from runwright import ModelFactory, settings
from runwright.domains.vision.choices import FcnFactory, ResNetFactory, SimpleCNNFactory
from runwright.domains.vision.dims import ImageDims
from runwright.optimizers import TorchOptimizer
from runwright.tools.check.sizes import Misfit, Size, Unmeasured, measure

DIMS = ImageDims(channels=3, height=28, width=28, num_classes=10)


def test_a_layer_of_22_billion_parameters_takes_no_memory() -> None:
    dims = attrs.evolve(DIMS, height=224, width=224, num_classes=2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = measure(FcnFactory(hidden_dim=150_528), dims, TorchOptimizer())
    assert isinstance(size, Size)
    assert size.parameters == 150_528 * 150_528 + 5 * 150_528 + 2
    assert size.training == 4 * size.weights  # the weights, their gradients and two moments
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB


@pytest.mark.parametrize(
    ("name", "kwargs", "copies"),
    [
        ("SGD", {}, 2),
        ("SGD", {"momentum": 0.9}, 3),
        ("RMSprop", {}, 3),
        ("AdamW", {}, 4),
        ("AdamW", {"amsgrad": True}, 5),
    ],
)
def test_the_optimisers_state_is_counted(name: str, kwargs: dict[str, object], copies: int) -> None:
    opt = TorchOptimizer(optimizer_cls=name, optimizer_kwargs=kwargs)
    size = measure(SimpleCNNFactory(), DIMS, opt)
    assert isinstance(size, Size)
    assert size.training is not None
    assert size.training / size.weights == pytest.approx(copies, rel=0.001)


def test_an_optimiser_that_refuses_the_parameters_says_so() -> None:
    size = measure(SimpleCNNFactory(), DIMS, TorchOptimizer(optimizer_cls="Muon"))
    assert isinstance(size, Size)
    assert "only supports 2D parameters" in (size.optimizer_problem or "")


def test_a_model_that_leaves_no_pixel_is_a_misfit() -> None:
    tiny = attrs.evolve(DIMS, height=4, width=4)
    assert isinstance(measure(SimpleCNNFactory(), tiny, TorchOptimizer()), Misfit)


def test_a_pretrained_network_is_measured_without_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    outcome = measure(ResNetFactory(weights="DEFAULT"), DIMS, TorchOptimizer())
    assert isinstance(outcome, Size)
    assert outcome.parameters == 11_181_642
    assert not list(tmp_path.rglob("*"))


@settings
class Downloading(ModelFactory[ImageDims]):
    """A network of one's own that starts from weights on the network."""

    @override
    def build(self, dims: ImageDims) -> nn.Module:
        model = nn.Linear(2, dims.num_classes)
        model.load_state_dict(torch.hub.load_state_dict_from_url("https://download.test/w.pth"))
        return model


def test_weights_of_ones_own_are_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    outcome = measure(Downloading(), DIMS, TorchOptimizer())
    assert outcome == Unmeasured("it starts from weights that would have to be downloaded")
    assert not list(tmp_path.rglob("*.pth"))
    assert "Downloading" not in "".join(capsys.readouterr())
