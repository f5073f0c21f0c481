"""Classification: cross-entropy, and the measures that follow from the confusion matrix."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from runwright import Measure, OutputObjective, UserError, World, mean_weight
from runwright.domains.vision.batch import ImageBatch, MixedImages
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.pictures import draw_confusion_matrix
from runwright.domains.vision.views import logits_of_views


def check_fit(logits: Tensor, batch: ImageBatch, dims: ImageDims) -> None:
    """Make sure that the model and the data respect the Dims; for the first batch of a pass.

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
    # All four limits at once: separately, each would wait for the device.
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


def measures_of_counts(
    confusion: NDArray[np.int64], correct: NDArray[np.int64], count: NDArray[np.int64]
) -> dict[str, float]:
    """Accuracy, macro-F1 and, where there are several groups, worst-group accuracy.

    Args:
        confusion: counts of shape (num_classes, num_classes), row the true class.
        correct: how many of each group are predicted rightly, (num_groups,).
        count: how many there are of each group, (num_groups,).
    """
    hits = confusion.diagonal()
    # F1 of a class is 2·TP / (2·TP + FP + FN); a class that neither occurs nor is predicted has
    # none and does not count.
    denominators = confusion.sum(axis=0) + confusion.sum(axis=1)
    f1 = 2 * hits[denominators > 0] / denominators[denominators > 0]
    measures = {"accuracy": float(hits.sum() / confusion.sum()), "macro_f1": float(f1.mean())}
    if len(count) > 1:
        present = count > 0
        measures["worst_group_accuracy"] = float((correct[present] / count[present]).min())
    return measures


class Classification(OutputObjective[ImageBatch, Tensor]):
    """Cross-entropy of the model's logits (B, num_classes)."""

    monitor = "accuracy"
    higher_is_better: Mapping[str, bool] = {
        "loss": False,
        "accuracy": True,
        "macro_f1": True,
        "worst_group_accuracy": True,
    }

    proportions = ("accuracy",)

    def __init__(
        self,
        dims: ImageDims,
        device: torch.device,
        *,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        test_time_augmentation: Literal["none", "flip", "flip_shift"] = "none",
    ) -> None:
        """Build for these Dims; the class weights, one per class, are on `device`."""
        self.test_time_augmentation = test_time_augmentation
        self.dims = dims
        self.device = device
        if dims.num_groups == 1:  # none is the worst
            known = self.higher_is_better.items()
            self.higher_is_better = {n: way for n, way in known if n != "worst_group_accuracy"}
        self.label_smoothing = label_smoothing
        self._has_checked = False
        self.class_weights = (
            None if class_weights is None else torch.tensor(class_weights, device=device)
        )

    @override
    def outputs(self, model: nn.Module, batch: ImageBatch) -> Tensor:
        if model.training or self.test_time_augmentation == "none":
            return model(batch.image)
        return logits_of_views(
            model, batch.image, with_shifts=self.test_time_augmentation == "flip_shift"
        )

    @override
    def losses_of(self, outputs: Tensor, batch: ImageBatch) -> dict[str, Tensor]:
        if not self._has_checked:
            check_fit(outputs, batch, self.dims)
            self._has_checked = True
        if isinstance(batch, MixedImages):
            return {"loss": self._mixed_cross_entropy(outputs, batch)}
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
        return _weighted_mean(summed, self.class_weights[label].sum())

    def _mixed_cross_entropy(self, logits: Tensor, batch: MixedImages) -> Tensor:
        """That of soft targets, in which cross-entropy is linear, with smoothing too."""
        total = weight = logits.new_zeros(())
        for label, share in (
            (batch.label, batch.share),
            (batch.other_label, 1 - batch.share),
        ):
            losses = functional.cross_entropy(
                logits,
                label,
                weight=self.class_weights,
                label_smoothing=self.label_smoothing,
                reduction="none",
            )
            total = total + (share * losses).sum()
            if self.class_weights is not None:
                weight = weight + (share * self.class_weights[label]).sum()
        if self.class_weights is None:
            return total / len(batch)
        return _weighted_mean(total, weight)

    @override
    def measures(self) -> Sequence[Measure[ImageBatch, Tensor]]:
        return [ClassificationMeasures(self.dims, self.device)]

    @override
    def predict(self, model: nn.Module, batch: ImageBatch) -> dict[str, NDArray[Any]]:
        probabilities = self.outputs(model, batch).float().softmax(dim=-1)
        columns = {
            "label": batch.label,
            "group": batch.group,
            "prediction": probabilities.argmax(dim=-1),
            **{f"probability_{k}": column for k, column in enumerate(probabilities.unbind(-1))},
        }
        return {name: column.cpu().numpy() for name, column in columns.items()}

    @override
    def measures_of(self, table: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        label, group, prediction = table["label"], table["group"], table["prediction"]
        classes, groups = self.dims.num_classes, self.dims.num_groups
        confusion = np.bincount(label * classes + prediction, minlength=classes**2)
        correct = np.bincount(group[label == prediction], minlength=groups)
        count = np.bincount(group, minlength=groups)
        probabilities = np.stack([table[f"probability_{k}"] for k in range(classes)], axis=1)
        of_label = probabilities[np.arange(len(label)), label].astype(np.float64)
        least = np.finfo(np.float32).tiny  # what a probability that is not 0 may be rounded to
        return {
            "loss": float(-np.log(of_label.clip(least)).mean()),
            **measures_of_counts(confusion.reshape(classes, classes), correct, count),
        }


def _weighted_mean(summed: Tensor, weight: Tensor) -> Tensor:
    if torch.is_grad_enabled():  # in training, where all processes have a share of the batch
        weight = mean_weight(weight)
    # A batch whose total weight is 0 teaches nothing: no loss, no gradient, and not 0/0.
    return summed / weight.where(weight > 0, math.inf)


class ClassificationMeasures(Measure[ImageBatch, Tensor]):
    """Plain cross-entropy, accuracy, macro-F1 and worst-group accuracy of a split.

    Neither label smoothing nor class weights are used: they shape the training, not the measure.
    """

    def __init__(self, dims: ImageDims, device: torch.device) -> None:
        """Build for these Dims; the counts are on `device`."""
        self._dims = dims
        self._has_checked = False
        self._num_classes = dims.num_classes
        # Integers are exact, and so is the sum of losses in float64 where that exists.
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
        correct, count = self._by_group.cpu().numpy()
        return {
            "loss": float(self._loss) / confusion.sum(),
            **measures_of_counts(confusion, correct, count),
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
        """The title of the confusion matrix: the accuracy, and the group where it is worst."""
        confusion = self.confusion
        correct = confusion.trace() / max(1, confusion.sum())
        title = f"accuracy {correct:.3f} of {confusion.sum()} images"
        if self._dims.num_groups == 1:
            return title
        accuracy, group, size = self._worst_group()
        return f"{title}\nworst group: {self._dims.group_name(group)}, {accuracy:.3f} of {size}"
