"""Torchvision's classifiers."""

from typing import TYPE_CHECKING

from typing_extensions import override

from runwright import ModelFactory, UserError, did_you_mean, factory, option, require_extra
from runwright.domains.vision.dims import ImageDims

if TYPE_CHECKING:
    from torch import nn


@factory("torchvision")
class TorchvisionFactory(ModelFactory[ImageDims]):
    """Any torchvision classifier, by name."""

    name: str = option(default="mobilenet_v3_small", doc="name as in torchvision.models")
    weights: str | None = option(
        default=None, doc="pretrained weights to download, by torchvision's name, e.g. DEFAULT"
    )

    @override
    def preflight(self) -> None:
        require_extra("torchvision", "vision", "model=torchvision")
        from torchvision import models

        known = models.list_models(module=models)
        if self.name not in known:
            raise UserError(
                f"model.name={self.name}: torchvision has no classifier of this name. "
                + did_you_mean(self.name, known)
            )

    @override
    def build(self, dims: ImageDims) -> "nn.Module":
        from runwright.domains.vision.classifiers import build_classifier

        return build_classifier(self.name, self.weights, dims)
