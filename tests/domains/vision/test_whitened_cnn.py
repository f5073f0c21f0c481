"""The network on whitened patches: its first layer, its sizes, and that it is set once only."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from domains.vision.files_of_images import write_mnist
from programs import run_python
from runwright import UserError, compose
from runwright.domains.vision.batch import ImageBatch
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.whitened_cnn import WhitenedCNNFactory
from runwright.domains.vision.whitening import WhitenedNetwork
from runwright.rundir.tensor_files import read_tensors
from training.resume.conftest import DIE_AT_STEP_30, assert_equal_runs

DIMS = ImageDims(channels=3, height=16, width=16, num_classes=5)


def network(dims: ImageDims = DIMS, **options: object) -> WhitenedNetwork:
    built = WhitenedCNNFactory(**{"widths": [8, 12], **options}).build(dims)  # pyright: ignore[reportArgumentType]
    assert isinstance(built, WhitenedNetwork)
    return built


def images(count: int = 400) -> torch.Tensor:
    """Smooth noise, of which neighbouring pixels are alike."""
    noise = torch.randn(count, 3, 18, 18, generator=torch.Generator().manual_seed(0))
    return functional.avg_pool2d(noise, 3, stride=1) * 2


def batches(image: torch.Tensor) -> list[ImageBatch]:
    label = torch.zeros(len(image), dtype=torch.int64)
    whole = ImageBatch(image=image, label=label, group=label)
    return [whole.select(slice(first, first + 64)) for first in range(0, len(image), 64)]


@torch.no_grad()
def test_the_first_layer_whitens_the_images_that_it_was_shown() -> None:
    net = network()
    net.initialize(iter(batches(images())))
    bias = net.whiten.bias
    assert bias is not None
    out = net.whiten(images()) - bias[:, None, None]
    half = out[:, :12].transpose(0, 1).flatten(1)
    covariance = half @ half.T / half.shape[1]
    off = covariance - covariance.diag().diag()
    assert float(off.abs().max()) < 1e-3
    variances = covariance.diag()
    assert 0.9 < float(variances.max()) < 1.001
    torch.testing.assert_close(out[:, 12:], -out[:, :12])


def test_the_filters_are_kept_and_the_convolutions_begin_as_identities() -> None:
    net = network()
    names = {name for name, p in net.named_parameters() if not p.requires_grad}
    assert "whiten.weight" in names
    assert {name.rsplit(".")[-1] for name in names} == {"weight"}
    second = net.blocks[5]
    assert isinstance(second, torch.nn.Conv2d)
    some = torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(second(some)[:, :8], some)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 17, 40)])
def test_it_takes_images_of_any_size(shape: tuple[int, int, int]) -> None:
    channels, height, width = shape
    dims = ImageDims(channels=channels, height=height, width=width, num_classes=7)
    assert network(dims)(torch.randn(2, *shape)).shape == (2, 7)


def test_images_that_are_too_small_are_refused_with_the_next_step() -> None:
    with pytest.raises(UserError, match=r"model\.widths has 5 blocks.*leave no pixels of 16×16"):
        network(widths=[4] * 5)
    with pytest.raises(UserError, match=r"model\.widths must not be empty"):
        network(widths=[])


def test_the_filters_follow_from_the_training_images_and_a_resumed_run_keeps_them(
    tmp_path: Path,
) -> None:
    write_mnist(tmp_path / "data", 60)
    options = [
        *("gpu=-1", "dm=mnist", "dm.batch_size=32", "model=whitened_cnn", "model.widths=[8,8]"),
        *("dm/augment=standard", "opt.lr=0.01", "training.epochs=3", "pictures=false"),
        *("checkpoint.save_every=10", "training.ema_decay=0.9", f"dm.root={tmp_path / 'data'}"),
    ]
    compose(options).run(tmp_path / "unbroken")
    done = run_python("-c", DIE_AT_STEP_30, str(tmp_path / "broken"), *options)
    assert done.returncode == -9, done.stderr
    compose(options).run(tmp_path / "broken")
    assert_equal_runs(tmp_path / "unbroken", tmp_path / "broken")
    last = tmp_path / "unbroken" / "checkpoints" / "last.safetensors"
    filters = read_tensors(last)[0]["whiten.weight"]
    torch.testing.assert_close(filters[4:], -filters[:4])
