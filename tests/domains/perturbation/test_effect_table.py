"""Bootstrap runs of the measures: perturbations are resampled, each in all of its cell types."""

import numpy as np

from domains.perturbation.test_effect_measures import batches, measured
from runwright.domains.perturbation.effect_table import HIGHER_IS_BETTER, EffectTable


def table_of(rng: np.random.Generator, perturbations: int) -> EffectTable:
    """Two cell types, in which a perturbation is about as hard."""
    hard = rng.normal(0, 1, perturbations)
    values = np.concatenate([hard, hard + rng.normal(0, 0.1, perturbations)])
    return EffectTable(
        cell_type=np.repeat([0, 1], perturbations),
        perturbation=np.tile(np.arange(perturbations), 2),
        measures=dict.fromkeys(HIGHER_IS_BETTER, values),
    )


def test_intervals_cover_the_true_mean_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    runs = [table_of(rng, 60).bootstrap(300, 0)["mse"] for _ in range(200)]
    covered = [np.quantile(one, 0.025) <= 0 <= np.quantile(one, 0.975) for one in runs]
    # Resampling rows, as if the cell types were independent, would cover it in 0.82.
    assert 0.9 <= np.mean(covered) <= 0.98


def test_bootstrap_runs_are_of_the_measures_and_seeded() -> None:
    table = measured(batches(32)).table()
    found, again, other = (table.bootstrap(500, seed) for seed in (1, 1, 2))
    for name, value in table.means().items():
        assert found[name].tolist() == again[name].tolist() != other[name].tolist()
        assert found[name].min() <= value <= found[name].max()


def test_nothing_measured_is_nan_in_every_run() -> None:
    found = measured([]).table().bootstrap(3, 0)
    assert all(np.isnan(runs).all() for runs in found.values())
