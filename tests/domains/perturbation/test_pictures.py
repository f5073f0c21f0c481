"""Pictures: what is in them is legible, and nothing is left out without a word."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from domains.perturbation.test_effect_measures import batches, measured
from runwright import Interval
from runwright.domains.perturbation import pictures
from runwright.domains.perturbation.effect_table import HIGHER_IS_BETTER
from runwright.domains.perturbation.pictures import (
    Effects,
    SampledCells,
    draw_effects,
    draw_embedding,
    draw_measures,
)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved."""
    figures: list[Figure] = []
    save = pictures.save_figure

    def keep(figure: Figure, path: Path) -> None:
        figures.append(figure)
        save(figure, path)

    monkeypatch.setattr(pictures, "save_figure", keep)
    return figures


def texts(figure: Figure) -> list[Text]:
    found: list[Any] = figure.findobj(Text)
    return [text for text in found if text.get_text().strip() and text.get_visible()]


def said(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in texts(figure))


def is_legible(figure: Figure) -> bool:
    """Whether all text is inside the figure, and titles and names of axes do not overlap."""
    figure.draw_without_rendering()
    frame = figure.bbox.padded(2)
    kept: list[Any] = []
    for axes in figure.axes:
        kept += [axes.title, axes.xaxis.label, axes.yaxis.label]
    kept += figure.texts
    boxes = [t.get_window_extent() for t in kept if t.get_text()]
    inside = all(frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1) for box in boxes)
    apart = not any(one.overlaps(other) for n, one in enumerate(boxes) for other in boxes[:n])
    return inside and apart


def effects(name: str, perturbations: int = 3) -> Effects:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(perturbations, 50))
    return Effects(name, real + rng.normal(0, 0.3, real.shape), real)


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_effects_have_a_panel_for_each_cell_type(
    tmp_path: Path, drawn: list[Figure], count: int
) -> None:
    names = [f"a cell type with quite a long name, number {number}" for number in range(count)]
    draw_effects([effects(name) for name in names], "effects, val", tmp_path / "effects.png")
    assert len(drawn[0].axes) == count
    assert "number 0\n3 perturbations" in said(drawn[0])
    assert is_legible(drawn[0])
    limits = {limit for axes in drawn[0].axes for limit in (axes.get_xlim(), axes.get_ylim())}
    assert len(limits) == 1


def test_more_than_twelve_cell_types_are_not_left_out_silently(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    draw_effects([effects(f"type {n}") for n in range(15)], "effects, test", tmp_path / "a.png")
    assert len(drawn[0].axes) == 12
    assert "12 of 15 cell types" in said(drawn[0])


def test_effects_that_are_not_known_leave_an_empty_panel(tmp_path: Path) -> None:
    unknown = np.full((2, 5), math.nan)
    draw_effects([Effects("blood", unknown, unknown)], "effects", tmp_path / "unknown.png")
    draw_effects([], "effects", tmp_path / "none.png")
    assert {path.name for path in tmp_path.iterdir()} == {"unknown.png", "none.png"}


def test_the_measures_draw_their_effects(tmp_path: Path, drawn: list[Figure]) -> None:
    measured(batches(32)).draw(tmp_path, "zeroshot")
    assert [path.name for path in tmp_path.iterdir()] == ["effects_zeroshot.png"]
    assert "astrocyte\n9 perturbations" in said(drawn[0])
    assert "blood\n8 perturbations" in said(drawn[0])


def sampled(name: str, cells: int, rng: np.random.Generator) -> SampledCells:
    """Cells of which the real and the predicted ones are far from the control cells."""
    control, moved = rng.normal(size=(cells, 30)), rng.normal(size=(2, cells, 30)) + 3
    return SampledCells(name, moved[0], moved[1], control)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_an_embedding_has_a_panel_of_three_kinds_for_each_cell_type(
    tmp_path: Path, drawn: list[Figure], count: int
) -> None:
    rng = np.random.default_rng(0)
    cells = [sampled(f"a cell type with quite a long name, {n}", 60, rng) for n in range(count)]
    draw_embedding(cells, "cells, test", tmp_path / "one.png")
    draw_embedding(cells, "cells, test", tmp_path / "again.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    assert len(drawn[0].axes) == count
    shown = said(drawn[0])
    assert all(f"{kind} cells" in shown for kind in ("control", "real", "predicted"))
    assert is_legible(drawn[0])
    points: Any = drawn[0].axes[0].collections[0].get_offsets()
    assert len(points) == 180
    # The first component is what tells real from control cells.
    assert np.ptp(points[:, 0]) > 2 * np.ptp(points[:, 1])


def test_an_embedding_says_what_it_leaves_out(tmp_path: Path, drawn: list[Figure]) -> None:
    rng = np.random.default_rng(0)
    cells = [sampled("blood", 2500, rng), *(sampled(f"type {n}", 5, rng) for n in range(13))]
    draw_embedding(cells, "cells, test", tmp_path / "embedding.png")
    assert "2,000 of 2,500 cells of each kind" in said(drawn[0])
    assert "12 of 14 cell types" in said(drawn[0])


def bars(axes: Axes) -> list[float]:
    found: list[Any] = list(axes.patches)
    return [bar.get_height() for bar in found]


def test_models_are_beside_each_other_with_the_line_of_the_oracle(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    models = {
        name: dict.fromkeys(HIGHER_IS_BETTER, Interval(mean=mean, low=mean - 0.1, high=mean + 0.1))
        for name, mean in (
            ("state_sm", 0.7),
            ("perturb_mean", 0.5),
            ("a model with a rather long name", 0.6),
        )
    }
    draw_measures(
        models, {"mse": 0.1, "pearson_delta": 0.9}, "few-shot, test", tmp_path / "measures.png"
    )
    assert [axes.get_title() for axes in drawn[0].axes] == list(HIGHER_IS_BETTER)
    assert all(bars(axes) == [0.7, 0.5, 0.6] for axes in drawn[0].axes)
    assert is_legible(drawn[0])
    lines = {
        axes.get_title(): [line.get_ydata() for line in axes.lines if line.get_label() == "oracle"]
        for axes in drawn[0].axes
    }
    assert {name: len(line) for name, line in lines.items() if line} == {
        "pearson_delta": 1,
        "mse": 1,
    }
    assert "oracle" in said(drawn[0])
    assert "few-shot, test" in said(drawn[0])


def test_models_without_an_oracle_or_an_interval_are_drawn(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    models = {
        "one": {"mse": Interval(mean=0.2, low=math.nan, high=math.nan)},
        "two": {"mae": Interval(mean=0.3, low=math.nan, high=math.nan)},
    }
    draw_measures(models, {}, "test", tmp_path / "measures.png")
    assert "oracle" not in said(drawn[0])
    assert [axes.get_title() for axes in drawn[0].axes] == ["mse", "mae"]
