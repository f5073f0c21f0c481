"""Pictures of predicted effects, of cells, and of the measures of several models."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from runwright import COLORS, Interval, new_figure, save_figure

Floats = NDArray[np.floating[Any]]

_MOST_PANELS: Final = 12
_MOST_CELLS: Final = 2000  # of each kind, in an embedding
_COLORS: Final = {"control": "0.55", "real": COLORS[0], "predicted": COLORS[1]}


class Effects(NamedTuple):
    """The mean effects of the perturbations of a cell type.

    Attributes:
        name: the name of the cell type.
        predicted: (perturbations, genes), the predicted cells minus the control cells.
        real: (perturbations, genes), the real ones.
    """

    name: str
    predicted: Floats
    real: Floats


class SampledCells(NamedTuple):
    """Some cells of a cell type.

    Attributes:
        name: the name of the cell type.
        predicted: (cells, features).
        real: (cells, features).
        control: (cells, features), the control cells that the predicted ones were made from.
    """

    name: str
    predicted: Floats
    real: Floats
    control: Floats


def draw_effects(effects: Sequence[Effects], title: str, path: Path) -> None:
    """Draw predicted against real effects, a panel for each cell type.

    A point is a gene under a perturbation; where many are in one place, its colour says how many.
    At most 12 cell types are drawn, and the title says so.
    """
    shown = effects[:_MOST_PANELS]
    columns = min(4, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    names = [textwrap.fill(one.name, 32) for one in shown]
    lines = max((name.count("\n") for name in names), default=0)
    figure = new_figure(max(3.6, 2.7 * columns), (2.8 + 0.15 * lines) * rows + 0.8)
    limit = max((_largest(values) for one in shown for values in one[1:]), default=0) or 1.0
    for place, one in enumerate(shown):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.plot([-limit, limit], [-limit, limit], color="0.5", linewidth=0.8, zorder=0)
        known = np.isfinite(one.real) & np.isfinite(one.predicted)
        axes.hexbin(
            one.real[known],
            one.predicted[known],
            gridsize=60,
            extent=(-limit, limit, -limit, limit),
            bins="log",
            mincnt=1,
            cmap="viridis",
            linewidths=0.1,
        )
        axes.set_box_aspect(1)
        axes.set_xlim(-limit, limit)
        axes.set_ylim(-limit, limit)
        count = len(one.real)
        noun = "perturbation" if count == 1 else "perturbations"
        axes.set_title(f"{names[place]}\n{count} {noun}", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.locator_params(nbins=5)
    if len(effects) > len(shown):
        title = f"{title}\n{len(shown)} of {len(effects)} cell types"
    figure.suptitle(title, fontsize=9)
    figure.supxlabel("real effect on a gene (brighter: more genes)", fontsize=8)
    figure.supylabel("predicted effect on a gene", fontsize=8)
    save_figure(figure, path)


def _largest(values: Floats) -> float:
    return float(np.abs(values[np.isfinite(values)]).max(initial=0))


def draw_embedding(sampled: Sequence[SampledCells], title: str, path: Path) -> None:
    """Draw predicted, real and control cells, a panel for each cell type.

    The axes are the principal components of the real and the control cells of a panel. At most 12
    cell types and 2,000 cells of a kind are drawn, and the title says so.
    """
    shown = sampled[:_MOST_PANELS]
    columns = min(4, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    figure = new_figure(max(4.4, 2.8 * columns), 2.9 * rows + 0.9)
    rng = np.random.default_rng(0)
    for place, one in enumerate(shown):
        axes = figure.add_subplot(rows, columns, place + 1)
        _draw_cells(axes, one, rng)
    for name, color in _COLORS.items():
        figure.axes[0].scatter([], [], color=color, label=f"{name} cells")
    if len(sampled) > len(shown):
        title = f"{title}\n{len(shown)} of {len(sampled)} cell types"
    figure.suptitle("\n".join(textwrap.wrap(title, 60)), fontsize=9)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    save_figure(figure, path)


def _draw_cells(axes: Any, cells: SampledCells, rng: np.random.Generator) -> None:
    kinds = {"control": cells.control, "real": cells.real, "predicted": cells.predicted}
    drawn = {name: one[rng.permutation(len(one))[:_MOST_CELLS]] for name, one in kinds.items()}
    fitted = np.concatenate([drawn["real"], drawn["control"]]).astype(np.float64)
    centre = fitted.mean(axis=0)
    _, spread, axes_of_cells = cast(
        "tuple[Floats, Floats, Floats]", np.linalg.svd(fitted - centre, full_matrices=False)
    )
    # A component may point either way; its largest part is made positive.
    components = axes_of_cells[:2]
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    components = components * np.sign(largest)
    share = spread**2 / max(float((spread**2).sum()), np.finfo(np.float64).tiny)
    place = np.concatenate([(one - centre) @ components.T for one in drawn.values()])
    color = np.repeat([_COLORS[name] for name in drawn], [len(one) for one in drawn.values()])
    order = rng.permutation(len(place))  # so that no kind hides another
    size = 5 if len(place) > 500 else 12
    axes.scatter(*place[order].T, s=size, c=color[order].tolist(), alpha=0.6, linewidths=0)
    for axis, number in ((axes.xaxis, 0), (axes.yaxis, 1)):
        text = f"component {number + 1} ({share[number]:.0%} of variance)"
        axis.set_label_text(text, fontsize=7)
    axes.tick_params(labelsize=7)
    count, most = len(cells.real), len(drawn["real"])
    said = f"{most:,} of {count:,}" if count > most else f"{count:,}"
    axes.set_title(f"{textwrap.fill(cells.name, 32)}\n{said} cells of each kind", fontsize=8)


def draw_measures(
    models: Mapping[str, Mapping[str, Interval]],
    oracle: Mapping[str, float],
    title: str,
    path: Path,
) -> None:
    """Draw the measures of several models beside each other, a panel for each measure.

    Args:
        models: the measures of each model, by name; bounds that are NaN are not drawn.
        oracle: what the best possible prediction scores; measures that it lacks have no line.
        title: the text above.
        path: the file to write; the suffix chooses the format.
    """
    measures = list(dict.fromkeys(name for one in models.values() for name in one))
    columns = min(3, max(1, len(measures)))
    rows = max(1, -(-len(measures) // columns))
    names = [textwrap.fill(name, 16) for name in models]
    figure = new_figure(columns * max(2.6, 0.55 * len(models) + 0.9), 2.7 * rows)
    for place, measure in enumerate(measures):
        axes = figure.add_subplot(rows, columns, place + 1)
        for number, one in enumerate(models.values()):
            found = one.get(measure, Interval(mean=np.nan, low=np.nan, high=np.nan))
            mean, low, high = found.mean, found.low, found.high
            axes.bar(number, mean, color=COLORS[number % len(COLORS)], width=0.7)
            axes.plot([number, number], [low, high], color="black", linewidth=1.5)
        if np.isfinite(oracle.get(measure, np.nan)):
            axes.axhline(oracle[measure], color="black", linestyle="--", label="oracle")
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_title(measure, fontsize=9)
        axes.tick_params(axis="y", labelsize=8)
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
    figure.suptitle(title, fontsize=9)
    if oracle:
        handles, labels = figure.axes[0].get_legend_handles_labels() if measures else ([], [])
        figure.legend(handles[:1], labels[:1], loc="outside lower right", fontsize=8)
    save_figure(figure, path)
