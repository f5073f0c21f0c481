"""A batch of labelled images."""

import attrs
from torch import Tensor

from runwright.data import Batch


@attrs.frozen(kw_only=True)
class ImageBatch(Batch):
    """Images and their labels.

    Attributes:
        image: (B, C, H, W), float32.
        label: (B,), int64, the class.
        group: (B,), int64, the group for worst-group accuracy.
    """

    image: Tensor
    label: Tensor
    group: Tensor
