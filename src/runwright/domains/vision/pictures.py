"""Pictures of images and of their classification."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from runwright import new_figure, save_figure
from runwright.domains.vision.batch import ImageBatch
from runwright.domains.vision.device_images import DeviceImages
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.mapped import MappedImages

# How many characters are as wide as an image of the grid, and as the smallest confusion matrix.
_TITLE_WIDTH: Final = 27
_HEADING_WIDTH: Final = 56

# A confusion matrix with counts and names; one of more classes has colours only.
_MOST_WRITTEN: Final = 40
_WIDEST: Final = 8.0  # inches


def draw_image_grid(batch: ImageBatch, dims: ImageDims, path: Path, *, columns: int = 8) -> None:
    """Draw images in [0, 1] in a grid, each above the names of its class and group."""
    images = batch.image.clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    # One picture of all the images: an axis for each would take seconds.
    gap = max(1, height // 14)
    title_height = height // 3
    sheet = np.ones((rows * (height + title_height), columns * (width + gap), channels), "float32")
    figure = new_figure(0.95 * columns, 0.95 * columns * sheet.shape[0] / sheet.shape[1])
    axes = figure.add_subplot()
    labels, groups = batch.label.cpu().numpy(), batch.group.cpu().numpy()
    for index, (image, label, group) in enumerate(zip(images, labels, groups, strict=True)):
        row, column = divmod(index, columns)
        top, left = row * (height + title_height), column * (width + gap)
        sheet[top : top + height, left : left + width] = image
        text = textwrap.fill(_title(dims, label, group), _TITLE_WIDTH)
        axes.text(left + width / 2, top + height + 1, text, ha="center", va="top", fontsize=5)
    axes.imshow(sheet.squeeze(-1) if channels == 1 else sheet, cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()
    save_figure(figure, path)


def draw_training_images(
    train: DeviceImages | MappedImages, dims: ImageDims, path: Path, *, count: int = 40
) -> None:
    """Draw the first training images, augmented as in the first epoch."""
    preparation = train.preparation
    device = preparation.normalization.mean.device
    positions = train.order(0)[:count]
    if isinstance(train, DeviceImages):
        positions = positions.to(device)
    batch = preparation(train.gather(positions).to(device))
    draw_image_grid(preparation.normalization.undone_in(batch), dims, path)


def _title(dims: ImageDims, label: int, group: int) -> str:
    class_name, group_name = dims.class_name(label), dims.group_name(group)
    if dims.num_groups == 1:
        return class_name
    return group_name if group_name.startswith(class_name) else f"{class_name}, {group_name}"


def draw_confusion_matrix(
    confusion: NDArray[np.int64], class_names: Sequence[str], title: str, path: Path
) -> None:
    """Draw counts (true class, predicted class), shaded by the share of the true class.

    Args:
        confusion: the counts, (num_classes, num_classes).
        class_names: the labels of the rows and the columns.
        title: the text above; long lines are wrapped.
        path: the file to write; the suffix chooses the format.
    """
    num_classes = len(confusion)
    is_written = num_classes <= _MOST_WRITTEN
    size = max(3.5, 0.55 * num_classes + 1.2) if is_written else _WIDEST
    figure = new_figure(size + 1.1, size)  # the colour bar is next to it
    axes = figure.add_subplot()
    shares = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.04)
    bar.set_label("share of the true class", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    if is_written:
        for true, predicted in np.ndindex(*confusion.shape):
            color = "white" if shares[true, predicted] > 0.5 else "black"
            text = str(confusion[true, predicted])
            axes.text(predicted, true, text, ha="center", va="center", color=color, fontsize=8)
        names = [textwrap.fill(name, 14) for name in class_names]
        # With more than four classes a column is as wide as seven characters.
        turned = num_classes > 4 and max(map(len, names)) > 7
        axes.set_xticks(range(num_classes), names, rotation=90 if turned else 0, fontsize=8)
        axes.set_yticks(range(num_classes), names, fontsize=8)
    lines = [textwrap.fill(line, _HEADING_WIDTH) for line in title.splitlines()]
    figure.suptitle("\n".join(lines), fontsize=9)  # unlike the axes' title, as wide as the picture
    numbered = "" if is_written else ", by its number"
    axes.set_xlabel(f"predicted class{numbered}")
    axes.set_ylabel(f"true class{numbered}")
    save_figure(figure, path)
