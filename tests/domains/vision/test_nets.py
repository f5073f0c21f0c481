"""Every network builds for every shape that it can take, and says so where it cannot."""

import itertools
import re
from typing import Any

import pytest
import torch

from runwright.domains.vision.choices import (
    Activation,
    FcnFactory,
    NormType,
    ResNetFactory,
    SimpleCNNFactory,
    TorchvisionFactory,
)
from runwright.domains.vision.dims import ImageDims
from runwright.errors import UserError
from runwright.factory import CONFIG_GROUPS
from runwright.model import ModelFactory


def dims(channels: int = 3, height: int = 28, width: int = 28, num_classes: int = 10) -> ImageDims:
    return ImageDims(channels=channels, height=height, width=width, num_classes=num_classes)


def logits_shape(factory: ModelFactory[ImageDims], of: ImageDims) -> tuple[int, ...]:
    model = factory.build(of).train()
    output = model(torch.rand(4, of.channels, of.height, of.width))
    output.sum().backward()
    return tuple(output.shape)


SHAPES = [dims(), dims(channels=1), dims(num_classes=2), dims(height=32, width=20), dims(1, 64, 64)]


@pytest.mark.parametrize("of", SHAPES, ids=str)
@pytest.mark.parametrize(
    "factory",
    [FcnFactory(), FcnFactory(num_hidden=0), SimpleCNNFactory(), ResNetFactory()],
    ids=["fcn", "linear", "cnn", "resnet"],
)
def test_every_model_builds_from_every_image_dims(
    factory: ModelFactory[ImageDims], of: ImageDims
) -> None:
    assert logits_shape(factory, of) == (4, of.num_classes)


@pytest.mark.parametrize("activation", list(Activation))
@pytest.mark.parametrize("norm", [*NormType, None])
def test_every_option_of_the_fcn_takes_effect(
    activation: Activation, norm: NormType | None
) -> None:
    factory = FcnFactory(
        num_hidden=2,
        hidden_dim=7,
        activation=activation,
        norm=norm,
        dropout_prob=0.5,
        final_bias=False,
        input_norm=True,
    )
    text = str(factory.build(dims()))
    assert logits_shape(factory, dims()) == (4, 10)
    assert text.count("Dropout(p=0.5") == 2
    assert text.count("Norm") == (0 if norm is None else 3)
    assert "out_features=10, bias=False" in text


def test_the_fcn_is_as_wide_as_its_input_by_default() -> None:
    model: Any = FcnFactory().build(dims())
    assert (model[1][0].in_features, model[1][0].out_features) == (2352, 2352)


def test_a_layer_as_wide_as_a_large_image_is_held_to_ten_million_weights() -> None:
    model: Any = FcnFactory().build(dims(height=224, width=224))
    assert model[1][0].weight.shape == (66, 150528)
    chosen: Any = FcnFactory(hidden_dim=70).build(dims(height=224, width=224))
    assert chosen[1][0].weight.shape == (70, 150528)


@pytest.mark.parametrize(
    ("kernel_size", "pool_stride"), list(itertools.product((1, 3, 5), (1, 2, 3)))
)
def test_the_cnn_works_for_every_kernel_and_stride_that_leave_pixels(
    kernel_size: int, pool_stride: int
) -> None:
    factory = SimpleCNNFactory(kernel_size=kernel_size, pool_stride=pool_stride)
    assert logits_shape(factory, dims(height=40, width=28)) == (4, 10)


def test_a_kernel_that_leaves_no_pixels_is_refused_with_the_size_at_each_layer() -> None:
    with pytest.raises(UserError) as caught:
        SimpleCNNFactory(kernel_size=11, pool_stride=3).build(dims())
    for part in (
        "model.kernel_size=11",
        "model.pool_stride=3",
        "input 28×28",
        "convolution 1 → 18×18",
        "pooling 1 → 6×6",
        "convolution 2 → -4×-4",
    ):
        assert part in str(caught.value)


def test_the_sizes_in_the_refusal_are_those_of_the_layers() -> None:
    model: Any = SimpleCNNFactory(kernel_size=4, pool_stride=3).build(dims(height=31, width=37))
    image = torch.rand(1, 3, 31, 37)
    assert model[:6](image).shape[2:] == (2, 3)  # as the factory counts them
    assert model(image).shape == (1, 10)


def test_the_stem_of_a_resnet_suits_the_size_of_the_image() -> None:
    small: Any = ResNetFactory().build(dims())
    large: Any = ResNetFactory().build(dims(height=64, width=64))
    assert small.conv1.kernel_size == (3, 3)
    assert large.conv1.kernel_size == (7, 7)
    chosen: Any = ResNetFactory(small_images=False).build(dims())
    assert chosen.conv1.kernel_size == (7, 7)


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


def test_every_registered_model_says_which_dims_it_accepts() -> None:
    from runwright.factory import type_argument

    for name in ("fcn", "cnn", "resnet", "torchvision"):
        assert type_argument(CONFIG_GROUPS["model"][name]) is ImageDims
