"""Splits whose images are kept on the training device, as uint8."""

import copy
from collections.abc import Iterator
from itertools import islice
from typing import Final, Self

import torch
from typing_extensions import override

from runwright import Batched
from runwright.domains.vision.batch import ImageBatch, RawImages
from runwright.domains.vision.preparation import Preparation

_TOGETHER: Final = 64 * 2**20  # bytes of prepared images, of a GPU's memory


class DeviceImages(Batched[ImageBatch]):
    """Images on the device, augmented and normalised there batch by batch.

    Nothing waits for the device, and the batches are those of `MappedImages`. Small ones are
    prepared several at a time, because a GPU takes hardly longer for them than for one.
    """

    def __init__(
        self,
        images: RawImages,
        *,
        batch_size: int,
        shuffle_seed: int | None,
        preparation: Preparation,
    ) -> None:
        """Cut images into batches; see `Batched`.

        Args:
            images: all of them, on the device.
            batch_size: images per batch.
            shuffle_seed: what the order of each epoch depends on, or None to keep it.
            preparation: what is done to them.
        """
        images.check_lengths()
        super().__init__(len(images), batch_size=batch_size, shuffle_seed=shuffle_seed)
        self.images = images
        self.preparation = preparation

    @override
    def batches(self, epoch: int, start: int = 0) -> Iterator[ImageBatch]:
        order = self.order(epoch).to(self.images.device)
        together = max(1, _TOGETHER // (4 * self.images.image[0].numel() * self.batch_size))
        cuts = self.cuts(start)
        while some := list(islice(cuts, together)):
            positions = torch.cat([order[cut] for cut in some])
            prepared = self.preparation(self.gather(positions, epoch))
            first = 0
            for cut in some:
                end = first + len(order[cut])
                yield prepared.select(slice(first, end))
                first = end

    def gather(self, positions: torch.Tensor, epoch: int = 0) -> RawImages:
        """The images at these positions of the split, and what they are to be blended with."""
        others = self.preparation.others(self.images.index.index_select(0, positions), epoch)
        return self._taken(
            positions, epoch, None if others is None else self._taken(others, epoch, None)
        )

    def _taken(self, positions: torch.Tensor, epoch: int, others: RawImages | None) -> RawImages:
        images = self.images
        return RawImages(
            image=images.image.index_select(0, positions),
            label=images.label.index_select(0, positions),
            group=images.group.index_select(0, positions),
            index=images.index.index_select(0, positions),
            epoch=epoch,
            others=others,
        )

    @override
    def as_measured(self) -> Self:
        one = copy.copy(self)
        one.preparation = self.preparation.unaugmented()
        return one
