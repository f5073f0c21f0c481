"""An objective of one's own, which knows nothing of images with two labels."""

from typing import TYPE_CHECKING

from torch.nn import functional
from typing_extensions import override

from runwright import Objective, ObjectiveFactory, factory
from runwright.domains.vision.batch import ImageBatch
from runwright.domains.vision.dims import ImageDims

if TYPE_CHECKING:
    import torch
    from torch import nn


class OneLabel(Objective[ImageBatch]):
    """Cross-entropy."""

    def __init__(self) -> None:
        self.monitor, self.higher_is_better = "loss", {"loss": False}

    @override
    def losses(self, model: "nn.Module", batch: ImageBatch) -> "dict[str, torch.Tensor]":
        return {"loss": functional.cross_entropy(model(batch.image), batch.label)}


@factory("one_label")
class OneLabelFactory(ObjectiveFactory[ImageDims, ImageBatch]):
    """Cross-entropy of the one label that an image has."""

    @override
    def build(self, dims: ImageDims, device: "torch.device") -> OneLabel:
        return OneLabel()
