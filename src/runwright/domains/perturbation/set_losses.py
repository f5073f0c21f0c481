"""How far a set of predicted cells is from the set of real ones.

Every loss takes the predicted cells, (B, S, G), the real ones, (B, S, G), and a mask, (B, S), false
in the padding, or None; it returns a number for each set, (B,). That of a set which is all padding
is NaN, and has no gradient. All but the mean squared error compare the sets as distributions, so
the order of the cells in either does not matter.

They are computed in float32 whatever the precision around them (in float64 from float64), and hold
nothing larger than (B, S, S) besides cells: distances come from products of matrices. What these
cannot tell from 0 is 0, with the gradient 0. Nothing waits for the device.
"""

import functools
import math
from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from torch import Tensor

_ANNEALING_STEPS: Final = 20
_SINKHORN_SHARE: Final = 0.01  # in `sinkhorn_and_energy`
# Rounding errors of a squared distance, in units of the squares that it is the difference of.
_ROUNDING: Final = 8

SetLoss = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class _Pairs(NamedTuple):
    """What the losses know of two sets.

    Attributes:
        weights: (B, S), of each cell; they add up to 1.
        between: (B, S, S), squared distances of the predicted cells to the real ones.
        predicted: (B, S, S), those of the predicted cells to each other.
        target: (B, S, S), those of the real cells to each other.
    """

    weights: Tensor
    between: Tensor
    predicted: Tensor
    target: Tensor


def energy_distance(predicted: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """E|X − Y| − ½E|X − X′| − ½E|Y − Y′| over all pairs of cells (Székely & Rizzo 2013)."""
    return _compare(_energy, predicted, target, mask)


def sinkhorn_divergence(
    predicted: Tensor, target: Tensor, mask: Tensor | None = None, *, blur: float = 0.05
) -> Tensor:
    """The debiased entropic transport cost (Feydy et al. 2019), for the cost ½|x − y|².

    The temperature is blur². It is approached from the squared diameter of the sets in a fixed
    number of steps, at each of which the potentials are updated once, symmetrically; the gradient
    is that of the last update (Feydy 2020, "Geometric data analysis, beyond convolutions", ch. 3).

    Args:
        predicted: (B, S, G).
        target: (B, S, G).
        mask: (B, S).
        blur: below this distance, in the units of the cells, points count as one.
    """
    return _compare(lambda pairs: _sinkhorn(pairs, blur), predicted, target, mask)


def sinkhorn_and_energy(
    predicted: Tensor, target: Tensor, mask: Tensor | None = None, *, blur: float = 0.05
) -> Tensor:
    """0.01 · Sinkhorn divergence + energy distance."""

    def both(pairs: _Pairs) -> Tensor:
        return _SINKHORN_SHARE * _sinkhorn(pairs, blur) + _energy(pairs)

    return _compare(both, predicted, target, mask)


def gaussian_mmd(predicted: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """The squared maximum mean discrepancy (Gretton et al. 2012) for exp(−|x − y|²/2σ²).

    The bandwidth σ is the mean distance of two cells of both sets together. Gretton et al. take the
    median, which in many dimensions is nearly the same; a mean needs no sorting.
    """

    def mmd(pairs: _Pairs) -> Tensor:
        bandwidth = _bandwidth(pairs)
        return _mmd(pairs, lambda squared: (-squared / (2 * bandwidth**2)).exp())

    return _compare(mmd, predicted, target, mask)


def laplacian_mmd(predicted: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """As `gaussian_mmd`, for exp(−|x − y|/σ)."""

    def mmd(pairs: _Pairs) -> Tensor:
        bandwidth = _bandwidth(pairs)
        return _mmd(pairs, lambda squared: (-_root(squared) / bandwidth).exp())

    return _compare(mmd, predicted, target, mask)


def mean_squared_error(predicted: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean squared difference of each predicted cell to the real one at its place."""
    return _mean_of_cells(lambda p, t: (p - t).square(), predicted, target, mask)


def mean_change(predicted: Tensor, basal: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean absolute difference of each predicted cell to its control cell."""
    return _mean_of_cells(lambda p, b: (p - b).abs(), predicted, basal, mask)


def set_loss(name: str, *, blur: float) -> SetLoss:
    """The loss that is called so in `objective.loss`; `blur` is for those that have one."""
    blurred = {"sinkhorn": sinkhorn_divergence, "se": sinkhorn_and_energy}
    if name in blurred:
        return functools.partial(blurred[name], blur=blur)
    others: dict[str, SetLoss] = {
        "energy": energy_distance,
        "gaussian": gaussian_mmd,
        "laplacian": laplacian_mmd,
        "mse": mean_squared_error,
    }
    return others[name]


def _compare(
    distance: Callable[[_Pairs], Tensor], predicted: Tensor, target: Tensor, mask: Tensor | None
) -> Tensor:
    """A distance of two sets, for each pair of sets."""
    with torch.autocast(predicted.device.type, enabled=False):
        predicted, target = _exact(predicted), _exact(target)
        weights, is_empty = _weights(predicted, mask)
        # The products of matrices are the more exact the nearer the cells are to 0. There the
        # padding is put too, in the midst of the real cells, so it does not widen the set.
        centre = (weights[:, None] @ _without_padding(target, mask)).detach()
        predicted = _without_padding(predicted - centre, mask)
        target = _without_padding(target - centre, mask)
        within_predicted = predicted @ predicted.mT
        within_target = target @ target.mT
        of_predicted = within_predicted.diagonal(dim1=1, dim2=2)
        of_target = within_target.diagonal(dim1=1, dim2=2)
        pairs = _Pairs(
            weights,
            _squared_distances(of_predicted, of_target, predicted @ target.mT),
            _squared_distances(of_predicted, of_predicted, within_predicted),
            _squared_distances(of_target, of_target, within_target),
        )
        return distance(pairs).masked_fill(is_empty, torch.nan)


def _mean_of_cells(
    difference: Callable[[Tensor, Tensor], Tensor],
    predicted: Tensor,
    other: Tensor,
    mask: Tensor | None,
) -> Tensor:
    with torch.autocast(predicted.device.type, enabled=False):
        predicted, other = _exact(predicted), _exact(other)
        weights, is_empty = _weights(predicted, mask)
        predicted, other = _without_padding(predicted, mask), _without_padding(other, mask)
        of_cells = difference(predicted, other).mean(-1)
        return (weights * of_cells).sum(-1).masked_fill(is_empty, torch.nan)


def _exact(cells: Tensor) -> Tensor:
    return cells if cells.dtype == torch.float64 else cells.float()


def _without_padding(cells: Tensor, mask: Tensor | None) -> Tensor:
    """The cells (B, S, G), with zeros in the padding."""
    return cells if mask is None else cells.masked_fill(~mask[..., None], 0)


def _weights(cells: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """The weight of each cell of (B, S, G), and of which sets there is nothing to measure, (B,)."""
    if mask is None:
        mask = torch.ones(cells.shape[:2], dtype=torch.bool, device=cells.device)
    is_empty = ~mask.any(dim=1)
    # The cells of an empty set have weights all the same, so that no NaN gets into a gradient.
    real = (mask | is_empty[:, None]).to(cells.dtype)
    return real / real.sum(dim=1, keepdim=True), is_empty


def _squared_distances(rows: Tensor, columns: Tensor, products: Tensor) -> Tensor:
    """|x|² + |y|² − 2xy, from the squares (B, S) and (B, S) and the products (B, S, S)."""
    squares = rows[:, :, None] + columns[:, None]
    squared = squares - 2 * products
    resolution = _ROUNDING * torch.finfo(squares.dtype).eps * squares.detach()
    return squared.masked_fill(squared.detach() <= resolution, 0)


def _root(squared: Tensor) -> Tensor:
    """The square root, whose gradient at 0 is 0."""
    is_zero = squared.detach() == 0
    return squared.masked_fill(is_zero, 1).sqrt().masked_fill(is_zero, 0)


def _mean(weights: Tensor, of_pairs: Tensor) -> Tensor:
    """The mean over pairs of cells, (B,), of what each has, (B, S, S)."""
    return (weights[:, None] @ of_pairs @ weights[:, :, None])[:, 0, 0]


def _energy(pairs: _Pairs) -> Tensor:
    between, predicted, target = (_mean(pairs.weights, _root(part)) for part in pairs[1:])
    return between - (predicted + target) / 2


def _bandwidth(pairs: _Pairs) -> Tensor:
    """The mean distance of two different cells of both sets together, (B, 1, 1)."""
    weights = pairs.weights
    between, predicted, target = (_mean(weights, _root(part.detach())) for part in pairs[1:])
    count = 2 * (weights > 0).sum(dim=1)
    mean = (2 * between + predicted + target) / 4 * count / (count - 1)
    return mean.masked_fill(mean == 0, 1)[:, None, None]  # of equal cells; any value will do


def _mmd(pairs: _Pairs, kernel: Callable[[Tensor], Tensor]) -> Tensor:
    between, predicted, target = (_mean(pairs.weights, kernel(part)) for part in pairs[1:])
    return predicted + target - 2 * between


def _sinkhorn(pairs: _Pairs, blur: float) -> Tensor:
    costs = _Costs(*(part / 2 for part in pairs[1:]))
    log_weights = pairs.weights.log()
    with torch.no_grad():
        fixed = _Costs(*(cost.detach() for cost in costs))
        potentials = _Potentials(*(torch.zeros_like(log_weights) for _ in range(4)))
        # At the first temperature, the potentials 0 are as good as any.
        temperatures = _temperatures(pairs, blur).unbind()
        potentials = _updated(potentials, fixed, log_weights, temperatures[0])
        for temperature in temperatures:
            new = _updated(potentials, fixed, log_weights, temperature)
            potentials = _Potentials(
                *((old + to) / 2 for old, to in zip(potentials, new, strict=True))
            )
    # By the envelope theorem the gradient is that of the costs with the potentials held fixed. Each
    # cost is in two updates: those of both potentials, or once for both cells of a set's own pairs.
    halved = _Costs(*((cost + cost.detach()) / 2 for cost in costs))
    last = _updated(potentials, halved, log_weights, temperatures[-1])
    of_cells = last.predicted - last.within_predicted + last.target - last.within_target
    return (pairs.weights * of_cells).sum(-1)


class _Costs(NamedTuple):
    """The costs of moving one cell to another, (B, S, S); see `_Pairs`."""

    between: Tensor
    predicted: Tensor
    target: Tensor


class _Potentials(NamedTuple):
    """The dual potentials at the cells, (B, S).

    Attributes:
        predicted: at the predicted cells, of the transport to the real ones.
        target: at the real cells, of the same.
        within_predicted: at the predicted cells, of their transport to themselves.
        within_target: at the real cells, of their transport to themselves.
    """

    predicted: Tensor
    target: Tensor
    within_predicted: Tensor
    within_target: Tensor


def _temperatures(pairs: _Pairs, blur: float) -> Tensor:
    """From the squared diameter of both sets to blur², as a geometric sequence: (steps, B, 1)."""
    largest = torch.stack([part.detach().amax(dim=(1, 2)) for part in pairs[1:]]).amax(dim=0)
    progress = torch.linspace(0, 1, _ANNEALING_STEPS, dtype=largest.dtype, device=largest.device)
    start = largest.clamp_min(blur**2).log()[:, None]
    return (start + progress[:, None, None] * (2 * math.log(blur) - start)).exp()


def _updated(
    potentials: _Potentials, costs: _Costs, log_weights: Tensor, temperature: Tensor
) -> _Potentials:
    """One update of all potentials, each from the old ones."""

    def softmin(cost: Tensor, potential: Tensor) -> Tensor:
        exponents = (log_weights + potential / temperature)[:, None] - cost / temperature[..., None]
        return -temperature * exponents.logsumexp(dim=2)

    return _Potentials(
        softmin(costs.between, potentials.target),
        softmin(costs.between.mT, potentials.predicted),
        softmin(costs.predicted, potentials.within_predicted),
        softmin(costs.target, potentials.within_target),
    )
