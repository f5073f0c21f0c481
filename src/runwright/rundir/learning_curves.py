"""The picture of a run's learning curves, drawn from its `metrics.csv`."""

import math
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runwright.figures import new_figure, save_figure
from runwright.metrics_table import MetricsTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


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
    names = {"train": "training", "val": "validation"}
    styles = {
        split: (f"C{number}{'o' * (split != 'train')}-", names.get(split, split))
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
            by_measure["learning rate"][column.removeprefix("lr_")] = points
    if not by_measure:
        return None
    columns = min(3, len(by_measure))
    rows = math.ceil(len(by_measure) / columns)
    figure = new_figure(4.2 * columns, 3.0 * rows)
    # The loss comes first, what was chosen beforehand last.
    order = sorted(by_measure, key=lambda name: (name != "loss", name == "learning rate", name))
    for index, measure in enumerate(order, start=1):
        splits = by_measure[measure]
        axes = figure.add_subplot(rows, columns, index)
        if is_rate := measure == "learning rate":  # by optimiser, not by split
            lines = [("-", name, points) for name, points in splits.items()]
        else:
            lines = [(*styles[split], splits[split]) for split in styles if split in splits]
        for style, name, points in lines:
            axes.plot(*points, style, markersize=3, label=name)
        axes.set_title(measure.replace("_", " "))
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if not is_rate or len(lines) > 1:
            axes.legend()
    return figure
