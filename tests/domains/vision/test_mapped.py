"""Batches from the memory map: the same as from memory, gathered by a thread that always ends."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from domains.vision.faces import RES, Faces, build, mapped
from runwright import UserError
from runwright.data.batching import InMemory
from runwright.domains.vision.batch import ImageBatch
from runwright.domains.vision.celeba_attributes import CelebAttr
from runwright.domains.vision.mapped import MappedImages
from runwright.domains.vision.preparation import Normalization

NORMALIZE = Normalization.of([0.5], [0.5], torch.device("cpu"))


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("batches")]


def in_memory(split: MappedImages, shuffle_seed: int | None) -> InMemory[ImageBatch]:
    images = torch.from_numpy(np.array(split.images[split.rows]))
    examples = ImageBatch(
        image=NORMALIZE(images),
        label=torch.as_tensor(split.labels),
        group=torch.as_tensor(split.groups),
    )
    return InMemory(examples, batch_size=split.batch_size, shuffle_seed=shuffle_seed)


def assert_equal(ours: list[ImageBatch], theirs: list[ImageBatch]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.label, other.label)
        assert torch.equal(one.group, other.group)


@pytest.mark.parametrize("epoch", [0, 1, 7])
@pytest.mark.parametrize("start", [0, 1, 3, 4])
def test_training_batches_equal_those_from_memory(faces: Faces, epoch: int, start: int) -> None:
    split = mapped(faces.train)
    reference = in_memory(split, shuffle_seed=3)
    assert split.num_batches == reference.num_batches == 4  # the last, smaller one is dropped
    ours = list(split.batches(epoch, start))
    assert_equal(ours, list(reference.batches(epoch, start)))
    assert len(ours) == 4 - start


def test_evaluation_batches_equal_those_from_memory(root: Path) -> None:
    split = mapped(build(root).val)
    split.batch_size = len(split) // 3 - 1
    ours = list(split.batches(epoch=0))
    assert_equal(ours, list(in_memory(split, shuffle_seed=None).batches(epoch=0)))
    assert sum(len(batch) for batch in ours) == len(split)
    assert 0 < len(ours[-1]) < len(ours[0])


def test_images_are_normalised(faces: Faces) -> None:
    batch = next(iter(faces.train.batches(0)))
    assert batch.image.dtype == torch.float32
    assert batch.image.shape == (20, 3, RES, RES)
    assert -1 <= float(batch.image.min()) < -0.5
    assert 0.5 < float(batch.image.max()) <= 1
    levels = NORMALIZE(torch.tensor([[[0, 128, 255]]], dtype=torch.uint8)).flatten()
    assert levels.tolist() == pytest.approx([-1.0, 128 / 127.5 - 1, 1.0], abs=1e-6)


def test_the_order_depends_on_seed_and_epoch_only(root: Path) -> None:
    def groups(seed: int, epoch: int) -> list[list[int]]:
        split = build(root, seed=seed, superclass=CelebAttr.YOUNG).train
        return [batch.group.tolist() for batch in split.batches(epoch)]

    assert groups(0, 0) == groups(0, 0)
    assert groups(0, 0) != groups(0, 1)
    assert groups(0, 0) != groups(1, 0)


def test_a_batch_larger_than_the_training_data_is_refused(root: Path) -> None:
    count = len(build(root).train)
    with pytest.raises(UserError, match=rf"has {count} examples.*e\.g\. dm\.batch_size={count}\."):
        _ = build(root, batch_size=count + 1).train.num_batches
    assert build(root, batch_size=count).train.num_batches == 1


def test_an_iterator_that_is_closed_early_leaves_no_thread(faces: Faces) -> None:
    assert not threads()
    batches = faces.train.batches(0)
    next(batches)
    assert len(threads()) == 1
    batches.close()  # pyright: ignore[reportAttributeAccessIssue]  # it is a generator
    assert not threads()
    batches = faces.train.batches(0)
    next(batches)
    del batches  # what the training loop does at the end of an epoch
    assert not threads()


def test_an_iterator_that_ends_leaves_no_thread(faces: Faces) -> None:
    assert len(list(faces.train.batches(0))) == 4
    assert not threads()


def test_errors_of_the_background_thread_reach_the_consumer(faces: Faces) -> None:
    split = mapped(faces.train)
    split.labels = split.labels[:5]
    with pytest.raises(IndexError):
        next(split.batches(0))
    assert not threads()
