"""RandAugment: the pixels of each operation are torchvision's, and each is as frequent."""

from typing import Any

import pytest
import torch
from torchvision.transforms import InterpolationMode, RandAugment, autoaugment

from runwright import Draws
from runwright.domains.vision import rand_augment as ours

NAMES = (
    *("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness"),
    *("Color", "Contrast", "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"),
)
CPU = torch.device("cpu")


def images(channels: int, height: int, width: int) -> torch.Tensor:
    """Noise, noise of few levels, and one level."""
    generator = torch.Generator().manual_seed(0)
    shape = (6, channels, height, width)
    noise = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    noise[0] = noise[0] // 8 + 40
    noise[1] = 7
    return noise


@pytest.mark.parametrize("size", [(3, 32, 32), (1, 20, 33), (3, 2, 9)])
@pytest.mark.parametrize("magnitude", [0, 9, 17, 30])
@pytest.mark.parametrize("name", NAMES)
def test_the_pixels_are_those_of_torchvision(
    name: str, magnitude: int, size: tuple[int, int, int]
) -> None:
    some = images(*size)
    private: Any = autoaugment
    space = RandAugment()._augmentation_space(31, size[1:])  # pyright: ignore[reportPrivateUsage]  # what it draws from
    amounts, is_signed = space[name]
    amount = float(amounts[magnitude]) if amounts.ndim else 0.0
    batched = ours.RandAugment(1, magnitude, size[1:], CPU, first_draw=0)
    for sign in (1, -1) if is_signed else (1,):
        nearest = InterpolationMode.NEAREST
        expected = [private._apply_op(one, name, amount * sign, nearest, None) for one in some]
        operation = torch.full((len(some),), NAMES.index(name))
        found = batched.apply(some, operation, torch.full((len(some),), float(sign)))
        assert torch.equal(found, torch.stack(expected))


def test_each_image_gets_its_own_operations_and_all_are_drawn() -> None:
    some = images(3, 16, 16)[2:3].expand(2000, -1, -1, -1)
    batched = ours.RandAugment(1, 15, (16, 16), CPU, first_draw=8)
    found = batched(some, Draws(0, 0, torch.arange(2000)))
    kinds, counts = found.flatten(1).unique(dim=0, return_counts=True)
    assert len(kinds) == 14 + 9  # nine have a direction
    assert counts.min() > 2000 / 28 * 0.6
    assert counts.max() < 2000 / 14 * 1.4


def test_several_operations_follow_each_other() -> None:
    some, draws = images(3, 16, 16), Draws(4, 1, torch.arange(6))
    twice = ours.RandAugment(2, 9, (16, 16), CPU, first_draw=8)(some, draws)
    once = ours.RandAugment(1, 9, (16, 16), CPU, first_draw=8)(some, draws)
    again = ours.RandAugment(1, 9, (16, 16), CPU, first_draw=10)(once, draws)
    assert torch.equal(twice, again)


def test_with_fixed_shapes_as_on_a_gpu_the_pixels_are_the_same() -> None:
    some, draws = images(3, 16, 16), Draws(1, 0, torch.arange(6))
    batched = ours.RandAugment(4, 9, (16, 16), CPU, first_draw=8)
    expected = batched(some, draws)
    assert batched.picks
    batched.picks = False
    assert torch.equal(batched(some, draws), expected)
