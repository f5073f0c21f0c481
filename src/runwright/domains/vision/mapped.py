"""Splits over memory-mapped images, gathered ahead of the training."""

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from runwright import Streamed
from runwright.domains.vision.batch import ImageBatch, RawImages
from runwright.domains.vision.preparation import Normalization, Preparation


class MappedImages(Streamed[ImageBatch]):
    """Some rows of an array of uint8 images, augmented and normalised on the training device."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        rows: NDArray[np.int64],
        *,
        labels: NDArray[np.int64],
        groups: NDArray[np.int64],
        batch_size: int,
        shuffle_seed: int | None,
        device: torch.device,
        num_workers: int = 0,
        preparation: Preparation | None = None,
    ) -> None:
        """Cut the images at `rows` into batches; see `Streamed`.

        Args:
            images: (N, C, H, W), of all splits.
            rows: (K,), which of them belong to this split.
            labels: (K,), their classes.
            groups: (K,), their groups.
            batch_size: images per batch.
            shuffle_seed: what the order of each epoch depends on, or None to keep it.
            device: where the batches must be.
            num_workers: processes that copy them out of the map; 0 uses a thread.
            preparation: what is done to them on the device; by default they are normalised to
                [-1, 1].

        Raises:
            UserError: shuffled images do not fill one batch.
        """
        super().__init__(
            len(rows),
            batch_size=batch_size,
            shuffle_seed=shuffle_seed,
            device=device,
            num_workers=num_workers,
        )
        self.images = images
        self.rows = rows
        self.labels = torch.from_numpy(labels)
        self.groups = torch.from_numpy(groups)
        if preparation is None:
            preparation = Preparation(normalization=Normalization.of([0.5], [0.5], device))
        self.preparation = preparation

    @override
    def gather(self, positions: torch.Tensor, epoch: int = 0) -> RawImages:
        """Copy images out of the map; those of the batch are uint8."""
        others = self.preparation.others(torch.from_numpy(self.rows[positions.numpy()]), epoch)
        return self._taken(
            positions, epoch, None if others is None else self._taken(others, epoch, None)
        )

    def _taken(self, positions: torch.Tensor, epoch: int, others: RawImages | None) -> RawImages:
        image = self.empty((len(positions), *self.images.shape[1:]), torch.uint8)
        # With mode="raise" NumPy would gather into a buffer and copy once more.
        rows = self.rows[positions.numpy()]
        np.take(self.images, rows, axis=0, out=image.numpy(), mode="clip")
        return RawImages(
            image=image,
            label=self.labels[positions],
            group=self.groups[positions],
            index=torch.from_numpy(rows),
            epoch=epoch,
            others=others,
        )

    @override
    def on_device(self, batch: ImageBatch) -> ImageBatch:
        assert isinstance(batch, RawImages)
        return self.preparation(batch)

    @override
    def as_measured(self) -> Self:
        one = super().as_measured()
        one.preparation = self.preparation.unaugmented()
        return one
