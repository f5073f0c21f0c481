"""The fully connected network: every option takes effect, and no size is a surprise."""

from typing import Any

import pytest
import torch

from domains.vision.shapes import SHAPES, dims, logits_shape
from runwright import UserError, compose
from runwright.domains.vision.activation import Activation
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.fcn import FcnFactory, NormType


@pytest.mark.parametrize("of", SHAPES, ids=str)
@pytest.mark.parametrize("num_hidden", [0, 1])
def test_it_builds_from_every_image_dims(num_hidden: int, of: ImageDims) -> None:
    assert logits_shape(FcnFactory(num_hidden=num_hidden), of) == (4, of.num_classes)


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
    ("factory", "of", "said"),
    [
        (FcnFactory(hidden_dim=2**40), dims(), "2,597,046,464,806,912 weights, 9,448.0 TiB"),
        (
            FcnFactory(num_hidden=10_000, hidden_dim=10_000),
            dims(),
            "num_hidden=10000 with layers of 10,000 on",
        ),
        (FcnFactory(num_hidden=0), dims(height=2**31, width=2**31), "images of 13,835,058,055"),
    ],
)
def test_a_network_beyond_all_memory_is_refused_with_its_size(
    factory: FcnFactory, of: ImageDims, said: str
) -> None:
    with torch.device("meta"), pytest.raises(UserError) as caught:
        factory.build(of)
    assert said in str(caught.value)
    assert "Use fewer or narrower layers (model.hidden_dim)" in str(caught.value)


def test_a_million_layers_are_refused_before_one_is_built() -> None:
    with pytest.raises(UserError, match=r"model\.num_hidden must be ≤ 10,000 layers, got 1,000"):
        compose(["dm=cmnist", "model=fcn", "model.num_hidden=1000000"])
