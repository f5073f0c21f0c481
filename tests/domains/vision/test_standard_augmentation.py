"""The usual augmentation: what each part does, that it is combined, and what it depends on."""

from typing import Any

import pytest
import torch
from torch.nn import functional

from runwright import Draws, UserError
from runwright.domains.vision.augmentation import NoAugmentation
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.preparation import Augment
from runwright.domains.vision.standard_augmentation import StandardAugmentation
from runwright.factory import OptionError

DIMS = ImageDims(channels=3, height=8, width=12, num_classes=2)
MEAN = [0.25, 0.5, 0.75]
CPU = torch.device("cpu")
NOTHING = {"crop": 0, "flip": "none"}


def augment(**options: Any) -> Augment:
    return StandardAugmentation(**options).build(DIMS, MEAN, CPU)


def images(count: int = 500) -> torch.Tensor:
    """The same image, of which no two pixels are equal, as often."""
    one = torch.arange(288).view(1, 8, 12, 3).permute(0, 3, 1, 2)[:, :3] % 256
    return one.to(torch.uint8).expand(count, -1, -1, -1)


def draws(count: int = 500, *, epoch: int = 0, seed: int = 0) -> Draws:
    return Draws(seed, epoch, torch.arange(count))


def kinds(some: torch.Tensor) -> set[bytes]:
    return {one.contiguous().numpy().tobytes() for one in some}


def test_nothing_is_done_unless_it_is_asked_for() -> None:
    assert NoAugmentation().build(DIMS, MEAN, CPU) is None
    assert torch.equal(augment(**NOTHING)(images(), draws()), images())


@pytest.mark.parametrize("padding", ["reflect", "zeros"])
def test_a_crop_is_one_of_those_of_the_padded_image(padding: str) -> None:
    found = kinds(augment(crop=2, flip="none", padding=padding)(images(), draws()))
    mode = "reflect" if padding == "reflect" else "constant"
    padded = functional.pad(images(1).float(), (2, 2, 2, 2), mode=mode).to(torch.uint8)
    crops = [padded[:, :, y : y + 8, x : x + 12] for y in range(5) for x in range(5)]
    assert found == kinds(torch.cat(crops))


def test_half_of_the_images_are_mirrored_others_in_every_epoch() -> None:
    flip = augment(crop=0, flip="random")
    first, second = (
        (flip(images(), draws(epoch=epoch)) != images()).flatten(1).any(1) for epoch in (0, 1)
    )
    assert 200 < int(first.sum()) < 300
    assert 200 < int((first == second).sum()) < 300
    mirrored = flip(images(), draws())[first]
    assert torch.equal(mirrored, images(len(mirrored)).flip(3))


def test_mirrored_in_turns_each_image_is_seen_either_way_in_two_epochs() -> None:
    flip = augment(crop=0, flip="alternating")
    was = [flip(images(), draws(epoch=epoch)) for epoch in range(4)]
    assert torch.equal(was[0].flip(3), was[1])
    assert torch.equal(was[0], was[2])
    assert torch.equal(was[1], was[3])
    assert len(kinds(was[0])) == 2
    tensor = flip(images(), Draws(0, torch.tensor(3), torch.arange(500)))
    assert torch.equal(tensor, was[3])


def test_a_square_is_cut_out_anywhere_in_the_colour_that_becomes_0() -> None:
    found = augment(**NOTHING, cutout=4)(torch.full_like(images(), 9), draws())
    color = torch.tensor([64, 128, 191], dtype=torch.uint8)[:, None, None]
    is_cut = (found == color).all(1)
    assert torch.equal(found, torch.where(is_cut[:, None], color, 9))
    assert len(kinds(is_cut)) == 8 * 12  # a centre in each pixel
    sizes = is_cut.sum((1, 2))
    assert (int(sizes.min()), int(sizes.max())) == (4, 16)  # 2×2 in a corner
    inner = is_cut[sizes == 16][0]
    assert (int(inner.any(0).sum()), int(inner.any(1).sum())) == (4, 4)


def test_parts_come_one_after_the_other() -> None:
    all_at_once = augment(crop=2, flip="random", rand_augment=2, cutout=4)
    some = images(50)
    step_by_step = augment(crop=2, flip="random")(some, draws(50))
    step_by_step = augment(**NOTHING, rand_augment=2)(step_by_step, draws(50))
    step_by_step = augment(**NOTHING, cutout=4)(step_by_step, draws(50))
    assert torch.equal(all_at_once(some, draws(50)), step_by_step)


def test_an_image_comes_out_the_same_in_any_batch_and_anew_in_every_epoch() -> None:
    everything = augment(crop=2, rand_augment=3, magnitude=20, cutout=3)
    generator = torch.Generator().manual_seed(1)
    some = torch.randint(0, 256, (300, 3, 8, 12), dtype=torch.uint8, generator=generator)
    together = everything(some, draws(300))
    order = torch.randperm(300, generator=generator)
    for part in order.split(7):
        assert torch.equal(everything(some[part], Draws(0, 0, part)), together[part])
    for other in (draws(300, epoch=1), draws(300, seed=1)):
        changed = (everything(some, other) != together).flatten(1).any(1)
        assert changed.float().mean() > 0.95


def test_a_shift_beyond_the_image_is_refused() -> None:
    with pytest.raises(UserError, match=r"dm\.augment\.crop=8 must be less than the 8 pixels"):
        augment(crop=8)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"magnitude": 5}, "`?magnitude`? has no effect with `?rand_augment`?=0"),
        ({"crop": 0, "padding": "zeros"}, "`?padding`? has no effect with `?crop`?=0"),
    ],
)
def test_options_without_an_effect_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        StandardAugmentation(**options)
