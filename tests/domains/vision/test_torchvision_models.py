"""Torchvision's classifiers, by name: those that fit are built, the others refused."""

import re
from typing import Any

import pytest
import torch
from torchvision import models

from domains.vision.shapes import dims, logits_shape
from runwright import UserError
from runwright.domains.vision.resnet import ResNetFactory
from runwright.domains.vision.torchvision_models import TorchvisionFactory


@pytest.mark.parametrize(
    "name", ["mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5", "vit_b_32", "googlenet"]
)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.slow
def test_torchvisions_classifiers_are_chosen_by_name(name: str, channels: int) -> None:
    of = dims(channels=channels, height=64, width=64, num_classes=5)
    assert logits_shape(TorchvisionFactory(name=name), of) == (4, 5)


def test_an_unknown_classifier_is_refused_before_any_data_are_read() -> None:
    with pytest.raises(UserError) as caught:
        TorchvisionFactory(name="mobilenet_v3_larg").preflight()
    assert str(caught.value).startswith(
        "model.name=mobilenet_v3_larg: torchvision has no classifier of this name. "
        "Did you mean 'mobilenet_v3_large'? Allowed: alexnet, "
    )


@pytest.mark.parametrize("factory", [ResNetFactory, TorchvisionFactory])
def test_unknown_weights_are_refused_with_those_that_there_are(
    factory: type[ResNetFactory | TorchvisionFactory],
) -> None:
    with pytest.raises(UserError) as caught:
        factory(weights="IMAGENET1K_V9").build(dims())
    assert re.fullmatch(
        r"model\.weights=IMAGENET1K_V9: torchvision has no such weights of \w+\. "
        r"Did you mean 'IMAGENET1K_V1'\? Allowed: DEFAULT, IMAGENET1K_V1\.",
        str(caught.value),
    )


def test_an_image_too_small_for_a_classifier_is_refused_in_one_sentence() -> None:
    with pytest.raises(UserError) as caught:
        TorchvisionFactory(name="inception_v3").build(dims())
    assert str(caught.value) == (
        "model.name=inception_v3 cannot take images of 28×28 pixels: Calculated padded input size "
        "per channel: (1 x 1). Kernel size: (3 x 3). Kernel size can't be greater than actual "
        "input size. Use images of another size (dm.default_res), usually larger ones, or another "
        "model."
    )


def test_an_image_that_a_transformer_cannot_divide_is_refused_too() -> None:
    with pytest.raises(UserError, match=r"of 30×30 pixels: .*indivisible by patch size\. Use"):
        TorchvisionFactory(name="vit_b_16").build(dims(height=30, width=30))


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("resnet18", "DEFAULT"),
        ("googlenet", "DEFAULT"),
        ("squeezenet1_1", "DEFAULT"),
        ("vit_b_16", "IMAGENET1K_SWAG_E2E_V1"),
    ],
)
def test_without_memory_pretrained_networks_have_the_shapes_of_their_weights(
    name: str, weights: str
) -> None:
    chosen: Any = models.get_weight(f"{models.get_model_weights(name).__name__}.{weights}")
    side = chosen.meta["min_size"][0]
    with torch.device("meta"):
        model = TorchvisionFactory(name=name, weights=weights).build(
            dims(height=max(side, 64), width=max(side, 64), num_classes=1000)
        )
    assert sum(p.numel() for p in model.parameters()) == chosen.meta["num_params"]
