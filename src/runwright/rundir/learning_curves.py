"""The picture of a run's learning curves, drawn from its `metrics.csv`."""

import math
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from runwright.figures import line_style, new_figure, save_figure
from runwright.storage.metrics_table import MetricsTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_MOST_ON_A_LINEAR_SCALE: Final = 10  # times the lowest loss
_RATE: Final = "learning rate"
_NAMES: Final = {
    "train": "training",
    "val": "validation",
    "trainset": "training set",
    "grad_norm": "norm of the gradients",
    "gpu_memory": "GPU memory (GiB)",
}


def draw_learning_curves(metrics: Path, path: Path, validation: Collection[str]) -> None:
    """Draw `learning_curves` to a file, if there are any.

    Args:
        metrics: the table.
        path: where the picture goes.
        validation: the names of the validation splits.
    """
    figure = learning_curves(metrics, validation)
    if figure is not None:
        save_figure(figure, path)


def learning_curves(metrics: Path, validation: Collection[str]) -> "Figure | None":
    """Every measure in `metrics.csv` over the steps; training and validation share axes.

    Args:
        metrics: the table.
        validation: the names of the validation splits.

    Returns:
        None when there is nothing to draw.
    """
    table = MetricsTable.read(metrics) if metrics.exists() else MetricsTable({})
    by_measure: dict[str, dict[str, tuple[NDArray[Any], NDArray[Any]]]] = defaultdict(dict)
    styles: dict[str, dict[str, Any]] = {
        split: {
            **line_style(number),
            "marker": "" if split == "train" else "o",
            "label": _NAMES.get(split, split),
        }
        for number, split in enumerate(dict.fromkeys(("train", "val", *validation)))
    }
    for column in table:
        points = table.curve(column)
        if not len(points[0]):
            continue
        split = next((split for split in styles if column.startswith(f"{split}_")), None)
        if split is not None:
            by_measure[column.removeprefix(f"{split}_")][split] = points
        elif column == "lr" or column.startswith("lr_"):
            by_measure[_RATE][column.removeprefix("lr_")] = points
        elif column not in ("step", "epoch"):  # what training.track asks for
            by_measure[column][column] = points
    if not by_measure:
        return None
    columns = min(3, len(by_measure))
    rows = math.ceil(len(by_measure) / columns)
    figure = new_figure(4.2 * columns, 3.0 * rows)
    # The loss comes first, then what is measured on splits, then what was chosen beforehand.
    order = sorted(
        by_measure, key=lambda name: (name != "loss", not by_measure[name].keys() & styles, name)
    )
    for index, measure in enumerate(order, start=1):
        splits = by_measure[measure]
        axes = figure.add_subplot(rows, columns, index)
        of_splits = [split for split in styles if split in splits]
        for split in of_splits:
            axes.plot(*splits[split], **styles[split], markersize=3)
        others = [name for name in splits if name not in styles]  # a rate for each optimiser
        for number, name in enumerate(others):
            axes.plot(*splits[name], **line_style(number), label=name)
        axes.set_title(_NAMES.get(measure, measure.replace("_", " ")))
        axes.set_xlabel("step")
        values = np.concatenate([points[1] for points in splits.values()])
        if measure == "loss" and 0 < _MOST_ON_A_LINEAR_SCALE * np.nanmin(values) < np.nanmax(
            values
        ):
            axes.set_yscale("log")  # the first steps would leave no room for the others
        axes.grid(alpha=0.3)
        if of_splits or len(others) > 1:
            axes.legend()
    return figure
