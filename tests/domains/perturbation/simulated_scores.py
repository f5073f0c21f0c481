"""What baselines, and those who know more, score on simulated cells.

    python tests/domains/perturbation/simulated_scores.py

prints the mean and the standard deviation over five seeds.
"""

import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from runwright.domains.perturbation.baselines import context_mean, perturb_mean, ridge
from runwright.domains.perturbation.effect_scores import measures_of_means
from runwright.domains.perturbation.effect_table import HIGHER_IS_BETTER
from runwright.domains.perturbation.simulation import Simulation
from runwright.domains.perturbation.simulator import (
    Planted,
    draw_counts,
    draw_latents,
    log_normalised,
    plant,
    true_means,
)

Floats = NDArray[np.float64]


class Profiles(NamedTuple):
    """Mean profiles (cell types, perturbations, genes): of all pairs, and of those trained on."""

    planted: Planted
    real: Floats
    training: Floats

    @property
    def control(self) -> Floats:
        return self.real[:, 0]


def profiles(options: Simulation) -> Profiles:
    planted = plant(options)
    real = np.empty((options.cell_types, len(planted.target_names), options.genes))
    for pair in np.ndindex(*real.shape[:2]):
        real[pair] = log_normalised(draw_counts(planted, *pair)[0]).mean(axis=0)
    training = real.copy()
    training[:, 0] = np.nan
    training[options.zero_shot_types] = np.nan
    for cell_type in options.few_shot_types:
        training[cell_type, [one for part in planted.held_out(cell_type) for one in part]] = np.nan
    return Profiles(planted, real, training)


def knowing_the_states(given: Profiles) -> Floats:
    """What follows from the mean strength of the programs in a cell type, and the loadings.

    The genes of the programs are estimated from the training, by ridge regression; the knock-down
    of a target gene is as in the other cell types.
    """
    planted = given.planted
    rng = np.random.default_rng(0)
    states = [draw_latents(planted, c, 600, rng).state for c in range(len(given.real))]
    strength = np.stack([planted.strength(state).mean(axis=0) for state in states])
    inputs = strength[:, None] * planted.loadings
    effects = given.training - given.control[:, None]
    is_known = ~np.isnan(effects[:, :, 0])
    x, y = inputs[is_known], effects[is_known]
    programs = np.linalg.solve(x.T @ x + 0.1 * np.eye(x.shape[1]), x.T @ y)
    predicted = given.control[:, None] + inputs @ programs
    active = np.flatnonzero(planted.target >= 0)
    target = planted.target[active]
    predicted[:, active, target] = perturb_mean(given.training, given.control)[:, active, target]
    return predicted


def scores(given: Profiles) -> Iterator[tuple[str, str, dict[str, float]]]:
    """The measures of each prediction, of few-shot and zero-shot testing."""
    planted, real, training = given
    control = given.control
    predictions = {
        "oracle": true_means(planted).astype(np.float64),
        "knowing the states": knowing_the_states(given),
        "ridge": ridge(training, control, planted.features),
        "perturb_mean": perturb_mean(training, control),
        "context_mean": context_mean(training, control),
    }
    genes = planted.options.gene_names
    targets = np.array([-1, *(genes.index(name) for name in planted.target_names[1:])])
    everything = list(range(1, len(targets)))
    few, zero = planted.options.few_shot_types, planted.options.zero_shot_types[1:]
    for part, tested in (
        ("few-shot", {cell_type: planted.held_out(cell_type)[1] for cell_type in few}),
        ("zero-shot", dict.fromkeys(zero, everything)),
    ):
        for name, predicted in predictions.items():
            found = [
                measures_of_means(
                    torch.from_numpy(predicted[cell_type, numbers]),
                    torch.from_numpy(real[cell_type, numbers]),
                    torch.from_numpy(control[cell_type]),
                    torch.from_numpy(targets[numbers]),
                )
                for cell_type, numbers in tested.items()
            ]
            # A prediction without any effect correlates with nothing, and cannot be left out.
            means = [{k: float(v.nan_to_num(0).mean()) for k, v in one.items()} for one in found]
            yield part, name, {k: float(np.mean([one[k] for one in means])) for k in means[0]}


def main() -> None:
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for seed in range(5):
        for part, name, values in scores(profiles(Simulation(seed=seed))):
            found.setdefault((part, name), []).append(values)
    print(f"{'':30}" + "".join(f"{name:>23}" for name in HIGHER_IS_BETTER))
    for (part, name), values in found.items():
        columns = [np.array([one[measure] for one in values]) for measure in HIGHER_IS_BETTER]
        texts = [f"{column.mean():.3f} ± {column.std(ddof=1):.3f}" for column in columns]
        print(f"{part:10}{name:20}" + "".join(f"{text:>23}" for text in texts))
        if "-v" in sys.argv:
            print("   ", columns[0].round(3))


if __name__ == "__main__":
    main()
