"""Classification: cross-entropy, and the measures that come from the confusion matrix."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from runwright import Measure, OutputObjective, UserError, World, mean_weight
from runwright.domains.vision.batch import ImageBatch
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.pictures import draw_confusion_matrix


def check_fit(logits: Tensor, batch: ImageBatch, dims: ImageDims) -> None:
    """Make sure that a model and data of one's own keep to the Dims; for the first batch of a pass.

    Args:
        logits: what the model returned for the batch.
        batch: the images, labels and groups.
        dims: what the data publish.

    Raises:
        UserError: the shape of the logits, a label or a group does not fit; says which.
    """
    expected = (len(batch), dims.num_classes)
    if tuple(logits.shape) != expected:
        raise UserError(
            f"The model returned logits of shape {tuple(logits.shape)} for {len(batch)} images of "
            f"{dims.num_classes} classes, not {expected}."
        )
    # All four limits at once: each would wait for the device by itself.
    limits = torch.stack([f(v) for v in (batch.label, batch.group) for f in (torch.min, torch.max)])
    lowest_label, highest_label, lowest_group, highest_group = cast("list[int]", limits.tolist())
    for name, low, high, count in (
        ("label", lowest_label, highest_label, dims.num_classes),
        ("group", lowest_group, highest_group, dims.num_groups),
    ):
        if low < 0 or high >= count:
            raise UserError(
                f"The data have a {name} {low if low < 0 else high}, not in 0 … {count - 1}."
            )


class Classification(OutputObjective[ImageBatch, Tensor]):
    """Cross-entropy of the model's logits (B, num_classes)."""

    monitor = "accuracy"
    higher_is_better: Mapping[str, bool] = {
        "loss": False,
        "accuracy": True,
        "macro_f1": True,
        "worst_group_accuracy": True,
    }

    def __init__(
        self,
        dims: ImageDims,
        device: torch.device,
        *,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        """Build for these Dims; the class weights, one for each class, lie on `device`."""
        self.dims = dims
        self.device = device
        self.label_smoothing = label_smoothing
        self._has_checked = False
        self.class_weights = (
            None if class_weights is None else torch.tensor(class_weights, device=device)
        )

    @override
    def outputs(self, model: nn.Module, batch: ImageBatch) -> Tensor:
        return model(batch.image)

    @override
    def losses_of(self, outputs: Tensor, batch: ImageBatch) -> dict[str, Tensor]:
        if not self._has_checked:
            check_fit(outputs, batch, self.dims)
            self._has_checked = True
        return {"loss": self._cross_entropy(outputs, batch.label)}

    def _cross_entropy(self, logits: Tensor, label: Tensor) -> Tensor:
        smoothing = self.label_smoothing
        if self.class_weights is None:
            return functional.cross_entropy(logits, label, label_smoothing=smoothing)
        summed = functional.cross_entropy(
            logits,
            label,
            weight=self.class_weights,
            label_smoothing=smoothing,
            reduction="sum",
        )
        weight = self.class_weights[label].sum()
        if torch.is_grad_enabled():  # in training, where all processes have a share of the batch
            weight = mean_weight(weight)
        # A batch of which nothing counts teaches nothing: no loss, no gradient, and not 0/0.
        return summed / weight.where(weight > 0, math.inf)

    @override
    def measures(self) -> Sequence[Measure[ImageBatch, Tensor]]:
        return [ClassificationMeasures(self.dims, self.device)]

    @override
    def predict(self, model: nn.Module, batch: ImageBatch) -> dict[str, NDArray[Any]]:
        probabilities = model(batch.image).float().softmax(dim=-1)
        columns = {
            "label": batch.label,
            "group": batch.group,
            "prediction": probabilities.argmax(dim=-1),
            **{f"probability_{k}": column for k, column in enumerate(probabilities.unbind(-1))},
        }
        return {name: column.cpu().numpy() for name, column in columns.items()}


class ClassificationMeasures(Measure[ImageBatch, Tensor]):
    """Plain cross-entropy, accuracy, macro-F1 and worst-group accuracy of a split.

    Neither label smoothing nor class weights enter: they shape the training, not the measure.
    """

    def __init__(self, dims: ImageDims, device: torch.device) -> None:
        """Build for these Dims; the counts lie on `device`."""
        self._dims = dims
        self._has_checked = False
        self._num_classes = dims.num_classes
        # Whole numbers are exact, and so is the sum of losses in float64 where there is one.
        real = torch.float32 if device.type == "mps" else torch.float64
        self._loss = torch.zeros((), dtype=real, device=device)
        self._confusion = torch.zeros(dims.num_classes**2, dtype=torch.int64, device=device)
        self._by_group = torch.zeros(2, dims.num_groups, dtype=torch.int64, device=device)

    @override
    def update(self, outputs: Tensor, batch: ImageBatch) -> None:
        logits = outputs.float()
        if not self._has_checked:
            check_fit(logits, batch, self._dims)
            self._has_checked = True
        predicted = logits.argmax(dim=-1)
        self._loss += functional.cross_entropy(logits, batch.label, reduction="sum")
        cell = batch.label * self._num_classes + predicted
        correct = (predicted == batch.label).long()
        ones = torch.ones_like(correct)
        self._confusion.scatter_add_(0, cell, ones)  # bincount would wait for the device
        self._by_group[0].scatter_add_(0, batch.group, correct)
        self._by_group[1].scatter_add_(0, batch.group, ones)

    @override
    def all_reduce(self, world: World) -> None:
        world.all_reduce([self._loss, self._confusion, self._by_group])

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Counts of shape (num_classes, num_classes): row the true class, column the predicted."""
        return self._confusion.view(self._num_classes, self._num_classes).cpu().numpy()

    @override
    def compute(self) -> dict[str, float]:
        confusion = self.confusion
        total = confusion.sum()
        hits = confusion.diagonal()
        # F1 of a class is 2·TP / (2·TP + FP + FN); a class that neither occurs nor is predicted
        # has none and does not count.
        denominators = confusion.sum(axis=0) + confusion.sum(axis=1)
        f1 = 2 * hits[denominators > 0] / denominators[denominators > 0]
        return {
            "loss": float(self._loss) / total,
            "accuracy": float(hits.sum() / total),
            "macro_f1": float(f1.mean()),
            "worst_group_accuracy": self._worst_group()[0],
        }

    def _worst_group(self) -> tuple[float, int, int]:
        """Accuracy, number and size of the group with the lowest accuracy; the first of equals."""
        correct, count = self._by_group.cpu().numpy()
        present = np.flatnonzero(count)
        accuracies = correct[present] / count[present]
        worst = int(accuracies.argmin())
        return float(accuracies[worst]), int(present[worst]), int(count[present[worst]])

    @override
    def draw(self, folder: Path, split: str) -> None:
        draw_confusion_matrix(
            self.confusion,
            [self._dims.class_name(number) for number in range(self._num_classes)],
            self.title(),
            folder / f"confusion_matrix_{split}.png",
        )

    def title(self) -> str:
        """The accuracy, and in which group it is worst: what stands above the confusion matrix."""
        confusion = self.confusion
        correct = confusion.trace() / max(1, confusion.sum())
        title = f"accuracy {correct:.3f} of {confusion.sum()} images"
        if self._dims.num_groups == 1:
            return title
        accuracy, group, size = self._worst_group()
        return f"{title}\nworst group, {accuracy:.3f} of {size}: {self._dims.group_name(group)}"
