"""Which runs are compared with each other, and which only repeat each other."""

import math

import pytest
from scipy import stats

from comparison.records import record
from runwright.comparison.repetitions import (
    Summary,
    apart,
    best_first,
    by_option,
    differing,
    grouped,
)


def test_what_follows_from_the_chosen_member_is_no_column() -> None:
    runs = [
        record("a", {"model": "fcn", "model.depth": "1", "model.act": "gelu", "opt.lr": "1"}, {}),
        record("b", {"model": "cnn", "model.act": "relu", "opt.lr": "1"}, {}),
        record("c", {"model": "cnn", "model.act": "relu", "opt.lr": "2"}, {}),
    ]
    assert differing(runs) == ["model", "opt.lr"]


def test_a_group_within_a_member_that_others_lack_is_no_column() -> None:
    nested = {"model": "state_sm", "model/backbone": "llama", "model.backbone.depth": "2"}
    runs = [record("a", nested, {}), record("b", {"model": "mean"}, {})]
    assert differing(runs) == ["model"]
    other = {"model": "state_sm", "model/backbone": "gpt2", "model.backbone.width": "3"}
    runs = [record("a", nested, {}), record("b", other, {})]
    assert differing(runs) == ["model/backbone"]


def test_an_option_that_a_run_of_the_same_member_lacks_is_a_column() -> None:
    """As a run of an older version of the code does."""
    runs = [
        record("a", {"model": "fcn", "model.depth": "1"}, {}),
        record("b", {"model": "fcn"}, {}),
    ]
    assert differing(runs) == ["model.depth"]


def test_an_option_that_differs_within_a_member_is_a_column() -> None:
    runs = [
        record("a", {"model": "fcn", "model.depth": "1"}, {}),
        record("b", {"model": "fcn", "model.depth": "2"}, {}),
        record("c", {"model": "cnn"}, {}),
    ]
    assert differing(runs) == ["model", "model.depth"]


def test_what_is_averaged_over_is_no_column_nor_are_the_options_of_its_members() -> None:
    runs = [
        record("a", {"model": "fcn", "model.depth": "1", "seed": "1"}, {}),
        record("b", {"model": "cnn", "seed": "2"}, {}),
    ]
    assert differing(runs, ("seed", "model")) == []
    assert differing(runs, ("model",)) == ["seed"]


def test_the_interval_of_a_mean_is_that_of_students_t() -> None:
    values = (0.5, 0.6, 0.8)
    bounds = Summary(values).bounds
    assert bounds == pytest.approx(
        stats.t.interval(0.95, 2, loc=sum(values) / 3, scale=stats.sem(values))
    )
    assert Summary((0.5,), (0.4, 0.6)).bounds == (0.4, 0.6)
    assert Summary((0.5,)).bounds is None
    assert math.isnan(Summary(()).mean)


def test_the_best_come_first_by_the_direction_of_the_measure() -> None:
    runs = [
        record("a", {"lr": "1"}, {"val_accuracy": 0.5, "test_regret": 2.0}),
        record("b", {"lr": "2"}, {"val_accuracy": 0.9, "test_regret": 3.0}),
        record("c", {"lr": "3"}, {"val_accuracy": 1.0}, state="pruned"),
    ]
    groups = grouped(runs, ["lr"], ("seed",))
    assert [group.options["lr"] for group in best_first(groups, "val_accuracy")] == ["2", "1", "3"]
    assert [group.options["lr"] for group in best_first(groups, "test_regret")] == ["1", "2", "3"]


def test_options_are_sorted_as_numbers_where_they_are_some() -> None:
    runs = [record(value, {"size": value}, {}) for value in ("10", "9", "auto", "1e2")]
    groups = by_option(grouped(runs, ["size"], ("seed",)), "size")
    assert [group.options["size"] for group in groups] == ["9", "10", "1e2", "auto"]


def test_runs_of_other_data_are_apart() -> None:
    runs = [
        record("a", {"dm": "mnist"}, {}),
        record("b", {"dm": "cells"}, {}),
        record("c", {"dm": "mnist"}, {}, monitor="val_loss"),
        record("d", {"dm": "mnist"}, {}, monitor=None, state="failed"),
        record("e", {"dm": "spirals"}, {}, monitor=None, state="failed"),
    ]
    assert {key: len(members) for key, members in apart(runs, ["dm"]).items()} == {
        ("mnist", "val_accuracy"): 2,
        ("spirals", ""): 1,
        ("cells", "val_accuracy"): 1,
        ("mnist", "val_loss"): 1,
    }
