"""Predictions from mean profiles: what they are, and what they score on simulated cells."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from domains.perturbation.simulated_scores import Profiles, profiles, scores
from runwright import UserError
from runwright.domains.perturbation.baselines import context_mean, oracle, perturb_mean, ridge
from runwright.domains.perturbation.dims import PerturbationDims
from runwright.domains.perturbation.simulation import Simulation
from runwright.domains.perturbation.simulator import CONTROL as CONTROL_NAME

NAN = np.nan
CONTROL = np.array([[1.0, 1.0], [2.0, 0.0], [5.0, 5.0]])
# Three cell types, of which the last is not trained on, and the control and three perturbations.
TRAINING = np.array(
    [
        [[NAN, NAN], [2.0, 1.0], [1.0, 3.0], [NAN, NAN]],
        [[NAN, NAN], [5.0, 2.0], [NAN, NAN], [NAN, NAN]],
        [[NAN, NAN]] * 4,
    ]
)


def test_perturb_mean_adds_the_mean_effect_over_cell_types() -> None:
    found = perturb_mean(TRAINING, CONTROL)
    effects = {1: [2.0, 1.0], 2: [0.0, 2.0], 3: [1.0, 1.5]}  # the last has the mean of the others
    for perturbation, effect in effects.items():
        np.testing.assert_allclose(found[:, perturbation], CONTROL + effect)


def test_context_mean_is_the_mean_profile_of_the_cell_type() -> None:
    found = context_mean(TRAINING, CONTROL)
    np.testing.assert_allclose(found[0], [[1.5, 2.0]] * 4)
    np.testing.assert_allclose(found[1], [[5.0, 2.0]] * 4)
    # The mean effects of the two others are (0.5, 1) and (3, 2).
    np.testing.assert_allclose(found[2], [[6.75, 6.5]] * 4)


def test_ridge_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    training = rng.normal(size=(4, 6, 5))
    training[1, 2:4] = NAN
    training[3] = NAN
    control, vectors = rng.normal(size=(4, 5)), rng.normal(size=(6, 3))
    inputs = np.concatenate([np.tile(vectors, (4, 1)), np.eye(4).repeat(6, axis=0)], axis=1)
    effects = (training - control[:, None]).reshape(-1, 5)
    is_known = ~np.isnan(effects[:, 0])
    reference = Ridge(alpha=0.7).fit(inputs[is_known], effects[is_known])
    expected = reference.predict(inputs).reshape(training.shape) + control[:, None]
    found = ridge(training, control, vectors, penalty=0.7)
    np.testing.assert_allclose(found[:3], expected[:3])
    # A cell type that was not trained on is none of those that were, but their mean.
    usual = np.concatenate([vectors, np.tile(inputs[is_known, 3:].mean(axis=0), (6, 1))], axis=1)
    np.testing.assert_allclose(found[3], reference.predict(usual) + control[3])


def names(cell_types: list[str], genes: list[str]) -> PerturbationDims:
    return PerturbationDims(
        features=len(genes),
        perturbation_features=1,
        cell_type_names=tuple(cell_types),
        perturbation_names=("gene_12", CONTROL_NAME),
        gene_names=tuple(genes),
    )


def test_the_oracle_has_the_true_means_in_the_order_of_the_data(tmp_path: Path) -> None:
    mean = np.arange(12.0).reshape(2, 2, 3)
    truth = tmp_path / "truth.npz"
    kinds = {"cell_types": ["a", "b"], "perturbations": [CONTROL_NAME, "gene_12"]}
    np.savez(truth, mean=mean, genes=["x", "y", "z"], allow_pickle=False, **kinds)
    found = oracle(truth, names(["b", "a"], ["z", "x"]))
    np.testing.assert_array_equal(found, mean[::-1, ::-1][:, :, [2, 0]])
    with pytest.raises(UserError) as refused:
        oracle(truth, names(["b", "aa"], ["z", "x"]))
    assert "truth.npz: 'aa' is not among its cell types." in str(refused.value)
    np.savez(truth, mean=mean)
    with pytest.raises(UserError, match="has no true means of simulated cells"):
        oracle(truth, names(["a"], ["x"]))
    with pytest.raises(UserError, match="none.npz has no true means of simulated cells: .*No such"):
        oracle(tmp_path / "none.npz", names(["a"], ["x"]))


@pytest.fixture(scope="module")
def simulated() -> Profiles:
    return profiles(Simulation(seed=0))


@pytest.mark.slow
def test_on_simulated_cells_the_oracle_is_best_and_linear_baselines_leave_room_to_a_model(
    simulated: Profiles,
) -> None:
    found = {(part, name): values for part, name, values in scores(simulated)}
    for part in ("few-shot", "zero-shot"):
        true, states, linear, perturbation, context = (
            found[part, name]
            for name in ("oracle", "knowing the states", "ridge", "perturb_mean", "context_mean")
        )
        best = max(linear["pearson_delta"], perturbation["pearson_delta"])
        assert true["pearson_delta"] > best + 0.1
        assert best > context["pearson_delta"] + 0.1
        assert true["mse"] < 0.6 * linear["mse"] < 0.6 * context["mse"]
        for distance in ("l1", "l2", "cosine"):
            name = f"discrimination_{distance}"
            assert true[name] >= max(linear[name], perturbation[name]) > 0.8 > context[name]
        # The strength of the programs in a cell type, which its control cells show, is worth much.
        assert states["mse"] < 0.85 * linear["mse"]
        assert states["pearson_delta"] > best + 0.02
