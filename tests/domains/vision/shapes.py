"""Dims of images, and what a model makes of them."""

import torch

from runwright import ModelFactory
from runwright.domains.vision.dims import ImageDims


def dims(channels: int = 3, height: int = 28, width: int = 28, num_classes: int = 10) -> ImageDims:
    return ImageDims(channels=channels, height=height, width=width, num_classes=num_classes)


def logits_shape(factory: ModelFactory[ImageDims], of: ImageDims) -> tuple[int, ...]:
    model = factory.build(of).train()
    output = model(torch.rand(4, of.channels, of.height, of.width))
    output.sum().backward()
    return tuple(output.shape)


SHAPES = [dims(), dims(channels=1), dims(num_classes=2), dims(height=32, width=20), dims(1, 64, 64)]
"""Images of one and three channels, square or not, of few and many pixels."""
