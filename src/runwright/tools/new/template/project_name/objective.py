"""The objective: what is minimised, what is measured, and which measure decides what is best."""

from typing import TYPE_CHECKING, ClassVar

from runwright import Objective, ObjectiveFactory, factory, option

from .data import PointBatch, PointDims

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@factory("arm")
class ArmFactory(ObjectiveFactory[PointDims, PointBatch]):
    """Which arm a point is on."""

    label_smoothing: float = option(
        default=0.0, ge=0, lt=1, doc="share of the target that is spread over all classes"
    )

    def build(self, dims: PointDims, device: "torch.device") -> "Arm":
        """The objective; nothing of it depends on the data or the device."""
        return Arm(self.label_smoothing)


class Arm(Objective[PointBatch]):
    """Cross-entropy, and the share of points whose most likely arm is theirs."""

    monitor = "accuracy"
    higher_is_better: ClassVar[dict[str, bool]] = {"loss": False, "accuracy": True}

    def __init__(self, label_smoothing: float) -> None:
        """Smooth targets by this much."""
        self.label_smoothing = label_smoothing

    def losses(self, model: "nn.Module", batch: PointBatch) -> "dict[str, Tensor]":
        """`loss` is minimised; everything else is measured beside it, averaged over examples."""
        from torch.nn import functional

        logits = model(batch.points)
        loss = functional.cross_entropy(logits, batch.label, label_smoothing=self.label_smoothing)
        return {"loss": loss, "accuracy": (logits.argmax(dim=1) == batch.label).float().mean()}
