"""Splits over memory-mapped images, gathered ahead of the training."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from runwright import Batched
from runwright.domains.vision.batch import ImageBatch

# How many batches are gathered ahead.
_AHEAD: Final = 2


class MappedImages(Batched[ImageBatch]):
    """Some rows of an array of uint8 images, normalised to [-1, 1] on the training device.

    While one batch is trained on, a background thread copies the rows of the next ones out of the
    map. The thread ends with the iterator, even if that is closed early.
    """

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
    ) -> None:
        """Cut the images at `rows` into batches; see `Batched`.

        Args:
            images: (N, C, H, W), of all splits.
            rows: (K,), which of them belong to this split.
            labels: (K,), their classes.
            groups: (K,), their groups.
            batch_size: images per batch.
            shuffle_seed: what the order of each epoch depends on, or None to keep it.
            device: where the batches must be.

        Raises:
            UserError: shuffled images do not fill one batch.
        """
        super().__init__(len(rows), batch_size=batch_size, shuffle_seed=shuffle_seed)
        self.images = images
        self.rows = rows
        self.labels = torch.from_numpy(labels)
        self.groups = torch.from_numpy(groups)
        self.device = device

    @override
    def batches(self, epoch: int, start: int = 0) -> Iterator[ImageBatch]:
        order = self.order(epoch)
        background = ThreadPoolExecutor(1, thread_name_prefix="image-batches")
        gathered: deque[Future[ImageBatch]] = deque()
        try:
            for cut in self.cuts(start):
                gathered.append(background.submit(self.gather, order[cut]))
                if len(gathered) > _AHEAD:
                    yield self._on_device(gathered.popleft().result())
            while gathered:
                yield self._on_device(gathered.popleft().result())
        finally:
            background.shutdown(wait=True, cancel_futures=True)

    def gather(self, positions: torch.Tensor) -> ImageBatch:
        """Copy images out of the map.

        Args:
            positions: (B,), positions in this split.

        Returns:
            The batch in main memory; its images are uint8.
        """
        # The copy to a GPU is asynchronous only from page-locked memory.
        pinned = self.device.type == "cuda"
        shape = (len(positions), *self.images.shape[1:])
        image = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
        # With mode="raise" NumPy would gather into a buffer and copy again.
        rows = self.rows[positions.numpy()]
        np.take(self.images, rows, axis=0, out=image.numpy(), mode="clip")
        label, group = self.labels[positions], self.groups[positions]
        if pinned:
            label, group = label.pin_memory(), group.pin_memory()
        return ImageBatch(image=image, label=label, group=group)

    def _on_device(self, batch: ImageBatch) -> ImageBatch:
        moved = batch.to(self.device)
        return attrs.evolve(moved, image=normalize(moved.image))


def normalize(image: torch.Tensor) -> torch.Tensor:
    """Images in [-1, 1], float32, from images in 0 … 255, uint8."""
    return image.float().div_(255).sub_(0.5).div_(0.5)
