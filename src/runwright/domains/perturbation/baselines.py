"""What a model must beat: predictions from mean profiles, without training.

All functions take and give mean profiles of shape (C, P, G): cell types, perturbations, genes. A
pair that was not trained on is NaN. To the mean of the control cells of a cell type they add an
effect.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from runwright import UserError, did_you_mean
from runwright.domains.perturbation.dims import PerturbationDims

Floats = NDArray[np.float64]


def perturb_mean(training: Floats, control: Floats) -> Floats:
    """The mean effect of the perturbation over the cell types that it was trained on.

    A perturbation that was not trained on has the mean effect of all that were.

    Args:
        training: (C, P, G), the mean profiles; NaN for pairs that were not trained on.
        control: (C, G), the mean profiles of the control cells.

    Returns:
        (C, P, G), a profile for every pair.
    """
    effect = _mean(training - control[:, None], axis=0)
    usual = _mean(effect, axis=0)
    return control[:, None] + np.where(np.isnan(effect), usual, effect)


def context_mean(training: Floats, control: Floats) -> Floats:
    """The mean profile of the perturbations that the cell type was trained on.

    A cell type without any has its control and the mean effect of all trained pairs.

    Args:
        training: (C, P, G), the mean profiles; NaN for pairs that were not trained on.
        control: (C, G), the mean profiles of the control cells.

    Returns:
        (C, P, G), the same profile for all perturbations of a cell type.
    """
    profile = _mean(training, axis=1)
    usual = control + _mean(_mean(training - control[:, None], axis=1), axis=0)
    profile = np.where(np.isnan(profile), usual, profile)
    return np.broadcast_to(profile[:, None], training.shape).copy()


def ridge(training: Floats, control: Floats, vectors: Floats, *, penalty: float = 1.0) -> Floats:
    """Ridge regression of the effect on the vector of the perturbation and the cell type.

    The effect of pair (c, p) is W·(vector of p, one-hot of c) + b; W is penalised, b is not. A cell
    type that was not trained on has an effect of the cell type of 0.

    Args:
        training: (C, P, G), the mean profiles; NaN for pairs that were not trained on.
        control: (C, G), the mean profiles of the control cells.
        vectors: (P, F), the vectors of the perturbations.
        penalty: the weight of |W|² beside the sum of squared errors.

    Returns:
        (C, P, G), a profile for every pair.
    """
    cell_types, perturbations, genes = training.shape
    of_type = np.repeat(np.eye(cell_types), perturbations, axis=0)
    inputs = np.concatenate([np.tile(vectors, (cell_types, 1)), of_type], axis=1)
    effects = (training - control[:, None]).reshape(-1, genes)
    is_known = ~np.isnan(effects).any(axis=1)
    known, wanted = inputs[is_known], effects[is_known]
    centre, usual = known.mean(axis=0), wanted.mean(axis=0)
    known = known - centre
    gram = known.T @ known + penalty * np.eye(known.shape[1])
    weights = cast("Floats", np.linalg.solve(gram, known.T @ (wanted - usual)))
    is_trained = is_known.reshape(cell_types, perturbations).any(axis=1)
    # The one-hot inputs of a cell type without training are at their centre: no effect of its own.
    inputs = inputs - centre
    inputs[~is_trained.repeat(perturbations), vectors.shape[1] :] = 0
    return control[:, None] + ((inputs @ weights) + usual).reshape(training.shape)


def oracle(truth: Path, dims: PerturbationDims) -> Floats:
    """The true mean profiles of simulated cells, which no model can be expected to beat.

    Args:
        truth: the file `truth.npz` of `python -m runwright simulate perturbation`.
        dims: the names of the cell types, perturbations and genes that are wanted.

    Returns:
        (C, P, G), a profile for every pair.

    Raises:
        UserError: the file cannot be read, or it lacks one of the names.
    """
    try:
        with np.load(truth) as file:
            mean = file["mean"].astype(np.float64)
            known = {name: file[name].tolist() for name in ("cell_types", "perturbations", "genes")}
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{truth} has no true means of simulated cells: {error}") from error
    places = [
        _places(truth, kind, wanted, known[kind])
        for kind, wanted in (
            ("cell_types", dims.cell_type_names),
            ("perturbations", dims.perturbation_names),
            ("genes", dims.gene_names),
        )
    ]
    return mean[np.ix_(*places)]


def _places(path: Path, kind: str, wanted: Sequence[str], known: list[str]) -> list[int]:
    places = {name: place for place, name in enumerate(known)}
    for name in wanted:
        if name not in places:
            kind = kind.replace("_", " ")
            hint = did_you_mean(name, known)
            raise UserError(f"{path}: '{name}' is not among its {kind}. {hint}".rstrip())
    return [places[name] for name in wanted]


def _mean(values: Floats, axis: int) -> Floats:
    """The mean of what is not NaN; NaN of nothing."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis=axis) / known.sum(axis=axis)
