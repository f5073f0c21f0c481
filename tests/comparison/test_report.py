"""What is printed about runs that are compared."""

import itertools

from comparison.records import record
from runwright.comparison.report import Comparison, reports


def test_each_data_module_has_a_table_of_its_own() -> None:
    runs = [
        record("a", {"dm": "mnist", "lr": "1"}, {"val_accuracy": 0.5}),
        record("b", {"dm": "mnist", "lr": "2"}, {"val_accuracy": 0.6}),
        record("c", {"dm": "cells", "lr": "1"}, {"val_accuracy": 0.9}),
    ]
    mnist, cells = reports(runs, Comparison())
    assert mnist.title == "dm=mnist, val_accuracy"
    assert cells.title == "dm=cells, val_accuracy"
    assert mnist.table.splitlines()[0].split()[:2] == ["lr", "val_accuracy"]
    assert mnist.notes[0].splitlines() == [
        "Best: val_accuracy 0.6, seed 1. To run it again:",
        "  python main.py --config-dir b --config-name config",
    ]
    (both,) = reports(runs, Comparison(table_per=()))
    assert (both.title, len(both.table.splitlines())) == ("", 4)


def test_folds_are_averaged_over_and_none_of_them_is_the_best() -> None:
    values = itertools.count(1)
    runs = [
        record(f"{lr}{fold}", {"lr": lr, "dm.fold": fold}, {"val_accuracy": next(values) / 10})
        for lr in ("1", "2")
        for fold in ("0", "1", "2")
    ]
    (report,) = reports(runs, Comparison())
    assert [line.split()[:5] for line in report.table.splitlines()[1:]] == [
        ["2", "0.50", "±", "0.10", "3"],
        ["1", "0.20", "±", "0.10", "3"],
    ]
    (note,) = report.notes
    assert note.splitlines() == [
        "Best: val_accuracy 0.50 ± 0.10, seed 1; dm.fold 0, 1, 2. To run them again:",
        "  python main.py --multirun --config-dir 20 --config-name config seed=1 dm.fold=0,1,2",
    ]


def test_a_mean_over_fewer_runs_is_told() -> None:
    runs = [
        record(f"{lr}{seed}", {"lr": lr, "seed": seed}, {"val_accuracy": 0.5})
        for lr, seed in [("1", "1"), ("1", "2"), ("1", "3"), ("2", "1"), ("2", "3")]
    ]
    (report,) = reports(runs, Comparison())
    assert "lr=2: a mean over fewer runs than others: no seed=2." in report.notes


def test_another_measure_can_decide_and_order() -> None:
    runs = [
        record("a", {"lr": "1"}, {"val_accuracy": 0.9, "test_loss": 3.0}),
        record("b", {"lr": "2"}, {"val_accuracy": 0.5, "test_loss": 1.0}),
        record("c", {"lr": "3"}, {"val_accuracy": 0.7, "test_loss": 2.0}),
    ]

    def order(comparison: Comparison) -> list[str]:
        (report,) = reports(runs, comparison)
        return [line.split()[0] for line in report.table.splitlines()[1:]]

    assert order(Comparison()) == ["1", "3", "2"]
    assert order(Comparison(best_by="test_loss")) == ["2", "3", "1"]
    assert order(Comparison(order="test_loss")) == ["2", "3", "1"]
    assert order(Comparison(order="lr")) == ["1", "2", "3"]
    runs[0] = record("a", {"lr": "1"}, {"val_accuracy": 0.9})  # the best was not tested
    assert order(Comparison(order="test_loss")) == ["2", "3", "1"]
    runs[0] = record("a", {"lr": "1"}, {"val_accuracy": 0.9, "test_loss": 3.0})
    (report,) = reports(runs, Comparison(best_by="test_loss", order="lr"))
    assert report.notes[0].startswith("Best: test_loss 1, seed 1. To run it again:")


def test_values_of_a_shell_are_quoted() -> None:
    runs = [
        record(f"a b/{seed}", {"seed": seed}, {"val_accuracy": 0.5}, program="my main.py")
        for seed in ("1", "2")
    ]
    (report,) = reports(runs, Comparison())
    assert report.notes[0].endswith(
        "python 'my main.py' --multirun --config-dir 'a b/1' --config-name config seed=1,2"
    )
