"""What is planted in simulated cells, and what is known of it."""

import attrs
import numpy as np
import pytest

from runwright import UserError
from runwright.domains.perturbation.simulation import Simulation
from runwright.domains.perturbation.simulator import (
    Planted,
    draw_counts,
    draw_latents,
    log_normalised,
    plant,
    rates,
    true_means,
)

SMALL = Simulation(
    cell_types=4,
    few_shot=1,
    zero_shot=2,
    perturbations=8,
    cells=7,
    controls=11,
    genes=60,
    variable_genes=20,
    inactive=0.25,
)


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant(SMALL)


def test_the_same_seed_plants_and_draws_the_same() -> None:
    one, again, other = plant(SMALL), plant(SMALL), plant(Simulation(seed=1))
    np.testing.assert_array_equal(one.programs, again.programs)
    np.testing.assert_array_equal(draw_counts(one, 1, 2)[0], draw_counts(again, 1, 2)[0])
    np.testing.assert_array_equal(true_means(one), true_means(again))
    assert one.held_out(1) == again.held_out(1) != one.held_out(2)
    assert one.target_names != other.target_names[: len(one.target_names)]


def test_more_cells_do_not_change_what_is_true(planted: Planted) -> None:
    more = plant(attrs.evolve(SMALL, cells=20, controls=50))
    np.testing.assert_array_equal(true_means(planted), true_means(more))


def test_the_true_mean_is_that_of_very_many_cells() -> None:
    few = attrs.evolve(SMALL, genes=600, variable_genes=300, inactive=0.1)
    many = plant(attrs.evolve(few, perturbations=6, cells=8000, controls=8000))
    expected = true_means(many)
    means = [log_normalised(draw_counts(many, 3, p)[0]).mean(axis=0) for p in (0, 5)]
    for drawn, known in zip(means, expected[3, [0, 5]], strict=True):
        error = drawn - known  # sampling alone is off by 0.011
        assert np.sqrt((error**2).mean()) < 0.018
        assert abs(error.mean()) < 0.015


def test_counts_vary_more_than_poisson_counts_of_the_same_rates(planted: Planted) -> None:
    many = plant(attrs.evolve(SMALL, controls=4000))
    rng = np.random.default_rng(0)
    latents = draw_latents(many, 0, 4000, rng)
    mean = rates(many, 0, 0, latents) * latents.library_size[:, None]
    of_poisson = mean.mean(axis=0) + mean.var(axis=0)
    counts = draw_counts(many, 0, 0)[0]
    expected = of_poisson + (mean**2).mean(axis=0) / 6
    assert np.median(counts.var(axis=0) / expected) == pytest.approx(1, abs=0.05)
    assert np.median(counts.var(axis=0) / of_poisson) > 1.3


def test_inactive_perturbations_do_nothing_and_others_knock_their_target_down(
    planted: Planted,
) -> None:
    mean = true_means(planted)
    effect = mean[:, 1:] - mean[:, :1]
    is_inactive = planted.target[1:] < 0
    assert is_inactive.sum() == 2
    assert np.abs(effect[:, is_inactive]).max() == 0
    for perturbation in np.flatnonzero(~is_inactive):
        target = planted.target[1 + perturbation]
        assert SMALL.gene_names[target] == planted.target_names[1 + perturbation]
        assert np.median(effect[:, perturbation, target]) < -0.5


def test_effects_transfer_between_cell_types_but_not_wholly() -> None:
    planted = plant(Simulation(seed=2))
    mean = true_means(planted)
    effect = (mean[:, 1:] - mean[:, :1])[:, planted.target[1:] >= 0]
    alike = [
        np.corrcoef(effect[one, p], effect[other, p])[0, 1]
        for one, other in ((0, 1), (2, 7), (5, 6))
        for p in range(effect.shape[1])
    ]
    unlike = [np.corrcoef(effect[0, p], effect[0, p + 1])[0, 1] for p in range(20)]
    assert 0.4 < np.mean(alike) < 0.9
    assert np.mean(unlike) < np.mean(alike) - 0.1


def test_cells_of_one_type_respond_in_different_strength(planted: Planted) -> None:
    latents = draw_latents(planted, 0, 500, np.random.default_rng(0))
    strength = planted.strength(latents.state)
    assert strength.shape == (500, SMALL.programs)
    assert 0 <= strength.min() < strength.max() <= 2
    assert strength.std(axis=0).min() > 0.15


def test_loadings_of_a_new_perturbation_can_be_read_off_its_features() -> None:
    planted = plant(Simulation(perturbations=80))
    known, new = planted.loadings[1:41], planted.loadings[41:]
    weights = np.linalg.lstsq(planted.features[1:41], known, rcond=None)[0]
    error = planted.features[41:] @ weights - new
    assert (error**2).mean() < 0.1 * (new**2).mean()
    assert (error**2).mean() > 0  # the view is noisy
    assert not planted.features[0].any()


def test_batches_and_libraries_differ(planted: Planted) -> None:
    many = plant(attrs.evolve(SMALL, controls=3000))
    counts, batch = draw_counts(many, 0, 0)
    assert np.bincount(batch).tolist() == [1000] * 3
    of_batch = [log_normalised(counts[batch == number]).mean(axis=0) for number in range(3)]
    assert np.abs(of_batch[0] - of_batch[1]).mean() > 0.05
    total = counts.sum(axis=1)
    assert np.median(total) == pytest.approx(2500, rel=0.1)
    assert np.log(total).std() == pytest.approx(0.37, abs=0.06)


def test_held_out_perturbations_are_of_all_and_distinct() -> None:
    for perturbations in (6, 40):
        val, test = plant(Simulation(perturbations=perturbations)).held_out(10)
        assert not set(val) & set(test)
        assert {*val, *test} < set(range(1, perturbations + 1))
        assert (len(val), len(test)) == (round(perturbations / 5), round(perturbations / 2.5))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"genes": 30}, "--perturbations must be ≤ --genes (30), got 40."),
        ({"genes": 200}, "--variable-genes must be ≤ --genes (200), got 300."),
        (
            {"cell_types": 6},
            (
                "--cell-types must be > --few-shot + --zero-shot = 6, so that a whole cell type is "
                "trained on, got 6."
            ),
        ),
    ],
)
def test_options_must_fit_together(options: dict[str, int], text: str) -> None:
    with pytest.raises(UserError) as refused:
        Simulation(**options)
    assert str(refused.value) == text
