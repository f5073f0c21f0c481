"""A batch of labelled images."""

from typing import TYPE_CHECKING

import attrs

from runwright import Batch

if TYPE_CHECKING:
    from torch import Tensor


@attrs.frozen(kw_only=True)
class ImageBatch(Batch):
    """Images and their labels.

    Attributes:
        image: (B, C, H, W), float32.
        label: (B,), int64, the class.
        group: (B,), int64, the group for worst-group accuracy.
    """

    image: "Tensor"
    label: "Tensor"
    group: "Tensor"
