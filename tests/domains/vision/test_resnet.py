"""Residual networks: the stem suits the image, and weights are read only where they can be kept."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from domains.vision.shapes import SHAPES, dims, logits_shape
from runwright import UserError, compose
from runwright.checks.preflight import problems
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.resnet import ResNetFactory


@pytest.mark.parametrize("of", SHAPES, ids=str)
def test_it_builds_from_every_image_dims(of: ImageDims) -> None:
    assert logits_shape(ResNetFactory(), of) == (4, of.num_classes)


def test_the_stem_of_a_resnet_suits_the_size_of_the_image() -> None:
    small: Any = ResNetFactory().build(dims())
    large: Any = ResNetFactory().build(dims(height=64, width=64))
    assert small.conv1.kernel_size == (3, 3)
    assert large.conv1.kernel_size == (7, 7)
    chosen: Any = ResNetFactory(small_images=False).build(dims())
    assert chosen.conv1.kernel_size == (7, 7)


def test_preflight_with_pretrained_weights_fetches_nothing_and_warns_of_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    config = compose(["dm=cmnist", "model=resnet", "model.weights=DEFAULT"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert problems(config) == []
    assert not list(tmp_path.rglob("*"))
    assert "".join(capfd.readouterr()) == ""


def test_unknown_weights_are_refused_before_anything_is_fetched() -> None:
    with torch.device("meta"), pytest.raises(UserError, match="no such weights of resnet18"):
        ResNetFactory(weights="IMAGENET1K_V9").build(dims())
