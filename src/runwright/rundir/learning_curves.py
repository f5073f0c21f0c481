"""The picture of a run's learning curves, drawn from its `metrics.csv`."""

import csv
import math
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from runwright.figures import new_figure, save_figure


def draw_learning_curves(metrics: Path, path: Path, validation: Collection[str]) -> None:
    """Draw every measure in `metrics.csv` over the steps; training and validation share axes.

    Args:
        metrics: the table.
        path: where the picture goes.
        validation: the names of the validation splits.

    Nothing is drawn when there is nothing to draw.
    """
    curves = _read_curves(metrics)
    by_measure: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(dict)
    names = {"train": "training", "val": "validation"}
    styles = {
        split: (f"C{number}{'o' * (split != 'train')}-", names.get(split, split))
        for number, split in enumerate(dict.fromkeys(("train", "val", *validation)))
    }
    for column, points in curves.items():
        split = next((split for split in styles if column.startswith(f"{split}_")), None)
        if split is not None:
            by_measure[column.removeprefix(f"{split}_")][split] = points
        elif column == "lr":
            by_measure["learning rate"]["train"] = points
    if not by_measure:
        return
    columns = min(3, len(by_measure))
    rows = math.ceil(len(by_measure) / columns)
    figure = new_figure(4.2 * columns, 3.0 * rows)
    # The loss comes first, what was chosen beforehand last.
    order = sorted(by_measure, key=lambda name: (name != "loss", name == "learning rate", name))
    for index, measure in enumerate(order, start=1):
        splits = by_measure[measure]
        axes = figure.add_subplot(rows, columns, index)
        for split, (style, name) in styles.items():
            if points := splits.get(split):
                steps, values = zip(*points, strict=True)
                axes.plot(steps, values, style, markersize=3, label=name)
        axes.set_title(measure.replace("_", " "))
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if measure != "learning rate":
            axes.legend()
    save_figure(figure, path)


def _read_curves(metrics: Path) -> dict[str, list[tuple[int, float]]]:
    curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
    if metrics.exists():
        with metrics.open(newline="") as file:
            for row in csv.DictReader(file):
                step = int(row["step"])
                for name, text in row.items():
                    if text and name != "step":
                        curves[name].append((step, float(text)))
    return curves
