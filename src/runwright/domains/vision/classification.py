"""The objective of classification."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from typing_extensions import override

from runwright import ObjectiveFactory, UserError, factory, option
from runwright.domains.vision.batch import ImageBatch
from runwright.domains.vision.dims import ImageDims

if TYPE_CHECKING:
    import torch

    from runwright.domains.vision.objective import Classification


@factory("classification")
class ClassificationFactory(ObjectiveFactory[ImageDims, ImageBatch]):
    """Cross-entropy; accuracy, macro-F1 and worst-group accuracy."""

    takes_mixed_labels: ClassVar[bool] = True  # those of mixup

    label_smoothing: float = option(
        default=0.0,
        ge=0,
        lt=1,
        doc="probability spread evenly over all classes (Szegedy et al. 2016)",
    )
    test_time_augmentation: Literal["none", "flip", "flip_shift"] = option(
        default="none",
        doc="whether measures and predictions take the mean of the logits of an image and its "
        "mirror image, and of these shifted by a pixel",
    )
    class_weights: list[float] | None = option(
        default=None, ge=0, doc="weight of each class in the training loss"
    )

    @override
    def problems(self) -> Iterator[str]:
        if self.class_weights is not None and not any(self.class_weights):
            yield "`class_weights` must have a weight above 0"

    @override
    def build(self, dims: ImageDims, device: "torch.device") -> "Classification":
        from runwright.domains.vision.objective import Classification

        if self.class_weights is not None and len(self.class_weights) != dims.num_classes:
            raise UserError(
                f"objective.class_weights has {len(self.class_weights)} weights for "
                f"{dims.num_classes} classes."
            )
        return Classification(
            dims,
            device,
            label_smoothing=self.label_smoothing,
            test_time_augmentation=self.test_time_augmentation,
            class_weights=self.class_weights,
        )
