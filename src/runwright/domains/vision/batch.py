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


@attrs.frozen(kw_only=True)
class MixedImages(ImageBatch):
    """Images that were each blended with another one (mixup).

    Attributes:
        other_label: (B,), int64, the class of the other one.
        share: (B,), float32, the share of `label`; the rest is that of `other_label`.
    """

    other_label: "Tensor"
    share: "Tensor"


@attrs.frozen(kw_only=True)
class RawImages(ImageBatch):
    """Images as they are kept, before they are augmented and normalised.

    Attributes:
        image: (B, C, H, W), uint8.
        index: (B,), int64, the number of each example among all of the data.
        epoch: the number of the epoch.
        others: what each is to be blended with, if anything.
    """

    index: "Tensor"
    epoch: int
    others: "RawImages | None" = None
