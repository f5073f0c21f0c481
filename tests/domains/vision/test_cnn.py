"""The small convolutional network: which sizes it accepts, and what it says about the others."""

import itertools
from typing import Any

import pytest
import torch

from domains.vision.shapes import SHAPES, dims, logits_shape
from runwright import UserError
from runwright.domains.vision.cnn import SimpleCNNFactory
from runwright.domains.vision.dims import ImageDims


@pytest.mark.parametrize("of", SHAPES, ids=str)
def test_it_builds_from_every_image_dims(of: ImageDims) -> None:
    assert logits_shape(SimpleCNNFactory(), of) == (4, of.num_classes)


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
