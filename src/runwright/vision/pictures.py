"""Pictures of images and of how they are classified."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runwright.pictures import new_figure, save_figure
from runwright.vision.batch import ImageBatch


def draw_image_grid(batch: ImageBatch, path: Path, *, columns: int = 8) -> None:
    """Draw images in [0, 1] in a grid, each above its class and group."""
    images = batch.image.clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    # One picture of all the images: an axis for each would take seconds.
    gap = max(1, height // 14)
    label_height = height // 3
    sheet = np.ones((rows * (height + label_height), columns * (width + gap), channels), "float32")
    figure = new_figure(0.95 * columns, 0.95 * columns * sheet.shape[0] / sheet.shape[1])
    axes = figure.add_subplot()
    labels, groups = batch.label.cpu().numpy(), batch.group.cpu().numpy()
    for index, (image, label, group) in enumerate(zip(images, labels, groups, strict=True)):
        row, column = divmod(index, columns)
        top, left = row * (height + label_height), column * (width + gap)
        sheet[top : top + height, left : left + width] = image
        text = f"class {label}, group {group}"
        axes.text(left + width / 2, top + height + 1, text, ha="center", va="top", fontsize=5)
    axes.imshow(sheet.squeeze(-1) if channels == 1 else sheet, cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()
    save_figure(figure, path)


def draw_confusion_matrix(confusion: NDArray[np.int64], path: Path) -> None:
    """Draw counts (true class, predicted class), shaded by the share of the true class."""
    num_classes = len(confusion)
    size = max(3.5, 0.55 * num_classes + 1.2)
    figure = new_figure(size, size)
    axes = figure.add_subplot()
    shares = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if num_classes <= 40:
        for true, predicted in np.ndindex(*confusion.shape):
            color = "white" if shares[true, predicted] > 0.5 else "black"
            text = str(confusion[true, predicted])
            axes.text(predicted, true, text, ha="center", va="center", color=color, fontsize=8)
        axes.set_xticks(range(num_classes))
        axes.set_yticks(range(num_classes))
    correct = confusion.trace() / max(1, confusion.sum())
    axes.set_title(f"accuracy {correct:.3f} of {confusion.sum()} images", fontsize=9)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    save_figure(figure, path)
