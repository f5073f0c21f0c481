"""The scores of predicted mean profiles, by the definitions of the cell-eval package.

They are the same as those of cell-eval 0.8 (`metrics/_anndata.py`) with the real control cells in
both of its files, but for two things that it leaves open: equal distances count half, where it
depends on how they happen to be sorted; and what is not defined for one perturbation does not make
the mean over the others NaN.
"""

import math

import torch
from torch import Tensor


def measures_of_means(
    predicted: Tensor, real: Tensor, control: Tensor, target: Tensor
) -> dict[str, Tensor]:
    """The measures of N perturbations of one cell type, from mean profiles over its cells.

    Args:
        predicted: (N, G), the means of the predicted cells.
        real: (N, G), the means of the real cells.
        control: (G,), the mean of the control cells.
        target: (N,), int64, the number of the gene that is the target of a perturbation, −1 if none
            is: it is left out of the discrimination scores, because a knock-down is told by it.

    Returns:
        Tensors of shape (N,), NaN where a measure is not defined.
    """
    predicted_effect, real_effect = predicted - control, real - control
    difference = predicted - real
    return {
        "pearson_delta": _pearson(predicted_effect, real_effect),
        "mse": difference.square().mean(dim=1),
        "mae": difference.abs().mean(dim=1),
        **{
            f"discrimination_{name}": _score(distances)
            for name, distances in _distances(predicted_effect, real_effect, target).items()
        },
    }


def _pearson(x: Tensor, y: Tensor) -> Tensor:
    """The correlation of each row of x with that of y; NaN where one of them is constant."""
    is_constant = (x == x[:, :1]).all(dim=1) | (y == y[:, :1]).all(dim=1)
    x, y = x - x.mean(dim=1, keepdim=True), y - y.mean(dim=1, keepdim=True)
    lengths = (x.square().sum(dim=1) * y.square().sum(dim=1)).sqrt()
    return ((x * y).sum(dim=1) / lengths).clamp(-1, 1).masked_fill(is_constant, math.nan)


def _distances(predicted: Tensor, real: Tensor, target: Tensor) -> dict[str, Tensor]:
    """The distances of predicted effects (rows) from real ones (columns), without the target gene.

    Leaving out the gene of a row subtracts its part from sums over all genes.
    """
    has_target = (target >= 0)[:, None]
    gene = target.clamp(min=0)
    own = predicted.gather(1, gene[:, None]) * has_target
    others = real[:, gene].T * has_target
    l1 = torch.cdist(predicted, real, p=1) - (own - others).abs()
    products = predicted @ real.T - own * others
    squares = (predicted.square().sum(dim=1, keepdim=True) - own.square()).clamp(min=0)
    real_squares = (real.square().sum(dim=1) - others.square()).clamp(min=0)
    lengths = (squares * real_squares).sqrt()
    # An effect of zero is as far from all others as if it were at a right angle to them.
    cosine = (products / lengths).masked_fill(lengths == 0, 0)
    return {"l1": l1, "l2": squares + real_squares - 2 * products, "cosine": 1 - cosine}


def _score(distances: Tensor) -> Tensor:
    """1 − the share of the perturbations that are nearer to a prediction than its own is."""
    own = distances.diagonal()[:, None]
    nearer = (distances < own).sum(dim=1, dtype=distances.dtype)
    equal = (distances == own).sum(dim=1, dtype=distances.dtype) - 1
    score = 1 - (nearer + equal / 2) / len(distances)
    return score.masked_fill(distances.isnan().any(dim=1), math.nan)
