"""Splits of labelled images: on the training device, or from the memory map."""

import numpy as np
import torch
from numpy.typing import NDArray

from runwright.domains.vision.batch import RawImages
from runwright.domains.vision.device_images import DeviceImages
from runwright.domains.vision.labelled_images import LabelledImages
from runwright.domains.vision.mapped import MappedImages
from runwright.domains.vision.preparation import Preparation


def split_of_rows(
    read: LabelledImages,
    rows: NDArray[np.int64],
    preparation: Preparation,
    *,
    batch_size: int,
    shuffle_seed: int | None,
    device: torch.device,
    on_device: bool,
    num_workers: int,
) -> DeviceImages | MappedImages:
    """The split of some images.

    Args:
        read: all images.
        rows: which of them belong to it.
        preparation: what is done to them.
        batch_size: images per batch.
        shuffle_seed: what the order of each epoch depends on, or None to keep it.
        device: where they are trained on.
        on_device: whether they are kept there; else batches are gathered from the map.
        num_workers: how many processes gather them; 0 is a thread.
    """
    labels, groups = read.labels[rows], read.groups[rows]
    if not on_device:
        return MappedImages(
            read.images,
            rows,
            labels=labels,
            groups=groups,
            batch_size=batch_size,
            shuffle_seed=shuffle_seed,
            device=device,
            num_workers=num_workers,
            preparation=preparation,
        )
    raw = RawImages(
        image=torch.from_numpy(read.images[rows]),
        label=torch.from_numpy(labels),
        group=torch.from_numpy(groups),
        index=torch.from_numpy(rows),
        epoch=0,
    )
    return DeviceImages(
        raw.to(device), batch_size=batch_size, shuffle_seed=shuffle_seed, preparation=preparation
    )
