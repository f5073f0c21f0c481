"""The columns of the table of runs."""

import pytest

from comparison.records import record
from runwright.comparison.repetitions import Summary, grouped
from runwright.comparison.table import columns, mean_and_sd


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((0.91, 0.92, 0.93), "0.920 ± 0.010"),
        ((0.5,), "0.5"),
        ((), "–"),
        ((2.0, 2.0), "2 ± 0"),
        ((1234.0, 1334.0), "1284 ± 71"),
        ((100000.0, 300000.0), "2e+05 ± 1.4e+05"),
        ((1e-9, 3e-9), "2e-09 ± 1.4e-09"),
    ],
)
def test_a_mean_ends_where_its_deviation_does(values: tuple[float, ...], said: str) -> None:
    assert mean_and_sd(Summary(values)) == said


def test_a_row_shows_the_measures_that_were_asked_for() -> None:
    runs = [
        record("a", {"lr": "1", "seed": "1"}, {"val_accuracy": 0.5, "test_loss": 2.0}),
        record("b", {"lr": "1", "seed": "2"}, {"val_accuracy": 0.7, "test_loss": 3.0}),
        record("c", {"lr": "2", "seed": "1"}, {"val_accuracy": 0.6}),
    ]
    groups = grouped(runs, ["lr"], ("seed",))
    found = columns(groups, ["lr"], ["val_accuracy", "test_loss"], intervals=True)
    assert [(one.name, one.cells) for one in found] == [
        ("lr", ["1", "2"]),
        ("val_accuracy", ["0.60 ± 0.14", "0.6"]),
        ("95 % interval", ["[-0.67, 1.87]", "–"]),
        ("test_loss", ["2.50 ± 0.71", "–"]),
        ("95 % interval", ["[-3.85, 8.85]", "–"]),
        ("runs", ["2", "1"]),
    ]


def test_the_best_so_far_of_what_has_not_finished_is_in_brackets() -> None:
    runs = [record(name, {}, {"val_accuracy": 0.5}, state="running") for name in "ab"]
    (column, _) = columns(grouped(runs, [], ("seed",)), [], ["val_accuracy"], intervals=False)
    assert column.cells == ["(0.5)"]
