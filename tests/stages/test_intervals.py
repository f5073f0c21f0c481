"""Confidence intervals: closed forms, and what there is none of."""

import math

import numpy as np
import pytest
from scipy import stats

from runwright.stages.intervals import binomial, of_runs, quantiles, t_interval


def test_quantiles_are_those_of_the_bootstrap_runs() -> None:
    interval = quantiles(np.arange(101) / 100)
    assert interval.low == pytest.approx(0.025)
    assert interval.high == pytest.approx(0.975)
    assert interval.mean == pytest.approx(0.5)


def test_a_binomial_interval_is_of_the_examples_and_within_0_and_1() -> None:
    half = binomial(0.5, 100)
    assert (half.low, half.high) == pytest.approx((0.402, 0.598))
    assert binomial(0.99, 10).high == 1.0
    assert binomial(0.01, 10).low == 0.0


def test_the_t_interval_is_that_of_scipys_distribution() -> None:
    replicates = np.random.default_rng(0).normal(3, 2, size=7)
    low, high = stats.t.interval(0.95, 6, loc=replicates.mean(), scale=replicates.std(ddof=1))
    interval = t_interval(replicates)
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_runs_of_a_domains_own_resampling_get_the_same_intervals() -> None:
    runs = {"a": np.arange(101) / 100, "b": np.full(5, math.nan)}
    by_quantiles, by_t = (of_runs(runs, f"bootstrap_{how}") for how in ("quantiles", "t_interval"))
    assert by_quantiles["a"] == quantiles(runs["a"])
    assert by_t["a"] == t_interval(runs["a"])
    assert not by_quantiles["b"].is_known


def test_one_replicate_has_no_t_interval_and_nan_joins_none() -> None:
    assert not t_interval(np.array([0.3])).is_known
    assert t_interval(np.array([0.3])).mean == 0.3
    assert not quantiles(np.array([math.nan])).is_known
    assert quantiles(np.array([0.2, math.nan, 0.4])).mean == pytest.approx(0.3)
