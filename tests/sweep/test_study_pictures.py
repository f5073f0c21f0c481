"""The pictures of a study can be read: no tick lies on another, and no line is pale."""

import math
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from optuna.trial import TrialState

from runwright.figures import is_own_figure
from runwright.sweep import study_pictures
from runwright.sweep.parallel_coordinates import shaded
from runwright.sweep.scales import scale_of, scale_of_numbers
from runwright.sweep.study_pictures import draw_study

NAMES = {"history", "importances", "intermediate_values", "parallel_coordinates", "slices"}


@pytest.fixture(scope="module")
def study() -> optuna.Study:
    """Forty trials of options of every kind, one of which only some trials have."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    chance = random.Random(0)
    for number in range(40):
        trial = made.ask()
        model = trial.suggest_categorical("model", ["fcn", "torchvision.resnet18", "cnn"])
        rate = trial.suggest_float("opt.lr", 1e-6, 1e-1, log=True)
        trial.suggest_int("dm.batch_size", 16, 512, log=True)
        trial.suggest_categorical("opt.weight_decay", [0, 0.1, 0.001])
        if model == "cnn":
            trial.suggest_int("model.kernel_size", 3, 9)
        for step in (100, 200):
            trial.report(chance.random(), step)
        is_pruned = number % 4 == 3
        value = None if is_pruned else -abs(math.log10(rate) + 3)
        made.tell(trial, value, TrialState.PRUNED if is_pruned else TrialState.COMPLETE)
    return made


def test_every_picture_is_drawn_and_says_who_wrote_it(study: optuna.Study, tmp_path: Path) -> None:
    draw_study(study, tmp_path, measures=["val_accuracy"], reported="val_accuracy")
    assert {path.stem for path in tmp_path.iterdir()} == NAMES
    assert all(is_own_figure(path) for path in tmp_path.iterdir())


def test_no_tick_lies_on_another(
    study: optuna.Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []

    def keep(figure: Figure, path: Path) -> None:
        del path
        figures.append(figure)

    monkeypatch.setattr(study_pictures, "save_figure", keep)
    draw_study(study, tmp_path, measures=["val_accuracy"], reported="val_accuracy")
    for figure in figures:
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        for axes in figure.axes:
            _check_ticks(axes, canvas.get_renderer())


def _check_ticks(axes: Axes, renderer: Any) -> None:
    labels = [label for label in axes.get_xticklabels() if label.get_text()]
    boxes = [label.get_window_extent(renderer) for label in labels]
    for (label, box), (_, following) in pairwise(zip(labels, boxes, strict=True)):
        if label.get_rotation() == 0:
            assert box.x1 < following.x0, label.get_text()
        else:  # turned ones stand beside each other where their ends do
            assert following.x1 - box.x1 > box.height * 0.3, label.get_text()


def test_colours_are_never_pale_and_the_best_is_the_darkest() -> None:
    colors = [to_rgb(color) for color in shaded([3.0, 1.0, 2.0])]
    brightness = [0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in colors]
    assert max(brightness) < 0.75
    assert min(brightness) == brightness[1]
    assert len({*shaded([1.0, 1.0])}) == 1


def test_numbers_among_choices_stand_in_their_order(study: optuna.Study) -> None:
    assert scale_of(study.trials, "opt.weight_decay").labels == ["0", "0.001", "0.1"]
    assert scale_of(study.trials, "model").labels == ["fcn", "torchvision.resnet18", "cnn"]


@pytest.mark.parametrize(
    ("values", "options", "labels"),
    [
        ([1e-5, 1e-1], {"log": True}, ["1e-05", "0.0001", "0.001", "0.01", "0.1"]),
        ([16, 512], {"log": True, "integer": True}, ["20", "50", "100", "200", "500"]),
        ([1, 3], {"integer": True}, ["1", "2", "3"]),
        ([0.5, 0.5], {}, ["0.5"]),
    ],
)
def test_a_scale_is_marked_with_round_numbers(
    values: list[float], options: dict[str, bool], labels: list[str]
) -> None:
    scale = scale_of_numbers(values, **options)
    assert scale.labels == labels
    assert all(0 <= place <= 1 for place in scale.places)
