"""What is done to a batch: mixup among it, with partners and shares that no batch changes."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from runwright import Draws
from runwright.domains.vision.batch import ImageBatch, MixedImages, RawImages
from runwright.domains.vision.device_images import DeviceImages
from runwright.domains.vision.mapped import MappedImages
from runwright.domains.vision.preparation import Mixup, Normalization, Preparation

CPU = torch.device("cpu")
PLAIN = Normalization.of([0.0], [1.0], CPU)
COUNT = 60


def splits(*, batch_size: int = 8, workers: int = 0) -> list[MappedImages | DeviceImages]:
    """The same images in a map and on the device, blended."""
    images = np.random.default_rng(0).integers(0, 256, (COUNT * 2, 3, 4, 4), dtype=np.uint8)
    rows = np.arange(0, COUNT * 2, 2)
    labels = np.arange(COUNT)
    groups = labels % 2
    preparation = Preparation(normalization=PLAIN, seed=5, mixup=Mixup(1.0, COUNT, CPU))
    mapped = MappedImages(
        images,
        rows,
        labels=labels,
        groups=groups,
        batch_size=batch_size,
        shuffle_seed=1,
        device=CPU,
        num_workers=workers,
        preparation=preparation,
    )
    raw = RawImages(
        image=torch.from_numpy(images[rows]),
        label=torch.from_numpy(labels),
        group=torch.from_numpy(groups),
        index=torch.from_numpy(rows),
        epoch=0,
    )
    kept = DeviceImages(raw, batch_size=batch_size, shuffle_seed=1, preparation=preparation)
    return [mapped, kept]


def by_label(batches: list[ImageBatch]) -> dict[int, tuple[int, float, bytes]]:
    found: dict[int, tuple[int, float, bytes]] = {}
    for batch in batches:
        assert isinstance(batch, MixedImages)
        for place, label in enumerate(batch.label.tolist()):
            share, image = float(batch.share[place]), batch.image[place].numpy().tobytes()
            found[label] = (int(batch.other_label[place]), share, image)
    return found


def test_images_are_blended_as_their_shares_say() -> None:
    mapped, kept = splits()
    for split in (mapped, kept):
        whole = split.as_measured()
        whole.shuffle_seed, whole.batch_size = None, COUNT
        plain = next(iter(whole.batches(0)))
        assert not isinstance(plain, MixedImages)
        for batch in split.batches(0):
            assert isinstance(batch, MixedImages)
            share = batch.share[:, None, None, None]
            expected = plain.image[batch.label] * share
            expected += plain.image[batch.other_label] * (1 - share)
            torch.testing.assert_close(batch.image, expected)
            assert torch.equal(batch.group, batch.label % 2)


@pytest.mark.parametrize("epoch", [0, 3])
def test_what_an_image_is_blended_with_depends_on_no_batch(epoch: int) -> None:
    mapped, kept = splits(batch_size=6)
    expected = by_label(list(mapped.batches(epoch)))
    assert len(expected) == COUNT
    assert by_label(list(kept.batches(epoch))) == expected
    for size in (5, 20):
        for split in splits(batch_size=size):
            assert by_label(list(split.batches(epoch))) == expected
    assert by_label(list(kept.batches(epoch + 1))) != expected
    part = splits(batch_size=6)[1]
    part.rank, part.ranks = 1, 2  # one of two processes
    for label, found in by_label(list(part.batches(epoch))).items():
        assert found == expected[label]


def test_workers_gather_the_same() -> None:
    mapped = splits(workers=2)[0]
    assert isinstance(mapped, MappedImages)
    expected = by_label(list(splits()[0].batches(2)))
    try:
        assert by_label(list(mapped.batches(2))) == expected
    finally:
        assert mapped.workers is not None
        mapped.workers.close()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_the_larger_of_a_beta_distribution(alpha: float) -> None:
    draws = Draws(0, 0, torch.arange(20_000))
    shares = Mixup(alpha, 10, CPU).shares(draws).numpy()
    assert shares.min() >= 0.5
    drawn = np.random.default_rng(0).beta(alpha, alpha, 20_000)
    expected = np.maximum(drawn, 1 - drawn).astype(np.float32)
    distance: Any = stats.ks_2samp(shares, expected)
    assert distance.statistic < 0.02


def test_partners_are_any_of_the_split() -> None:
    others = Mixup(1.0, 10, CPU).others(Draws(0, 0, torch.arange(20_000)))
    counts = torch.bincount(others, minlength=10)
    assert len(counts) == 10
    assert counts.min() > 1800


def test_normalising_is_undone() -> None:
    normalization = Normalization.of([0.1, 0.5, 0.9], [0.2, 0.3, 0.4], CPU)
    image = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    label = torch.zeros(5, dtype=torch.int64)
    batch = ImageBatch(image=normalization(image), label=label, group=label)
    back = normalization.undone_in(batch).image
    torch.testing.assert_close(back, image / 255)
