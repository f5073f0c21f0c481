"""The losses of sets: against loops over all pairs, closed forms, and solvers of others."""

import importlib
import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from runwright.domains.perturbation.set_losses import (
    SetLoss,
    energy_distance,
    gaussian_mmd,
    laplacian_mmd,
    mean_change,
    mean_squared_error,
    sinkhorn_and_energy,
    sinkhorn_divergence,
)

LOSSES: dict[str, SetLoss] = {
    "energy": energy_distance,
    "sinkhorn": sinkhorn_divergence,
    "gaussian": gaussian_mmd,
    "laplacian": laplacian_mmd,
    "mse": mean_squared_error,
    "se": sinkhorn_and_energy,
    "change": mean_change,
}
OF_DISTRIBUTIONS = [name for name in LOSSES if name not in {"mse", "change"}]


def cells(size: int = 6, features: int = 4, count: int = 3, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, size, features, generator=generator, dtype=torch.float64)


def mean_of_pairs(rows: Tensor, columns: Tensor, of: Callable[[float], float]) -> float:
    """The mean of a function of the distance, one pair after another."""
    values = [of(math.dist(x, y)) for x in rows.tolist() for y in columns.tolist()]
    return sum(values) / len(values)


def pooled_distance(x: Tensor, y: Tensor) -> float:
    """The mean distance of two different cells of both sets together."""
    pairs = list(itertools.combinations([*x.tolist(), *y.tolist()], 2))
    return sum(math.dist(one, other) for one, other in pairs) / len(pairs)


def by_loops(name: str, x: Tensor, y: Tensor) -> float:
    if name == "mse":
        return (
            sum(
                (a - b) ** 2
                for a, b in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True)
            )
            / x.numel()
        )
    if name == "change":
        return (
            sum(abs(a - b) for a, b in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True))
            / x.numel()
        )
    if name == "energy":
        xy, xx, yy = (mean_of_pairs(*pair, float) for pair in ((x, y), (x, x), (y, y)))
        return xy - xx / 2 - yy / 2
    sigma = pooled_distance(x, y)
    kernels: dict[str, Callable[[float], float]] = {
        "gaussian": lambda d: math.exp(-(d**2) / (2 * sigma**2)),
        "laplacian": lambda d: math.exp(-d / sigma),
    }
    xy, xx, yy = (mean_of_pairs(*pair, kernels[name]) for pair in ((x, y), (x, x), (y, y)))
    return xx + yy - 2 * xy


@pytest.mark.parametrize("name", ["energy", "gaussian", "laplacian", "mse", "change"])
def test_a_loss_is_what_loops_over_all_pairs_give(name: str) -> None:
    x, y = cells(), cells(seed=1) + 0.5
    expected = [by_loops(name, one, other) for one, other in zip(x, y, strict=True)]
    assert LOSSES[name](x, y, None).tolist() == pytest.approx(expected, rel=1e-12)
    mask = torch.arange(6) < torch.tensor([[6], [4], [1]])
    expected = [by_loops(name, a[m], b[m]) for a, b, m in zip(x, y, mask, strict=True)]
    assert LOSSES[name](x, y, mask).tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_the_energy_distance_of_normal_samples_nears_the_closed_form() -> None:
    # |X − Y| of N(0, 1) and N(m, 1) is folded normal: of N(m, 2).
    shift, count = 1.0, 3000
    x, y = cells(count, 1, 1), cells(count, 1, 1, seed=1) + shift

    def folded(mean: float) -> float:
        sd = math.sqrt(2)
        return sd * math.sqrt(2 / math.pi) * math.exp(-(mean**2) / (2 * sd**2)) + mean * math.erf(
            mean / (sd * math.sqrt(2))
        )

    assert energy_distance(x, y).item() == pytest.approx(folded(shift) - folded(0), rel=0.1)


def test_the_sinkhorn_divergence_of_normal_samples_nears_half_the_squared_wasserstein() -> None:
    x, y = cells(2000, 1, 1), 2 * cells(2000, 1, 1, seed=1) + 3
    # ½(3² + (2 − 1)²), for one-dimensional normal distributions
    assert sinkhorn_divergence(x, y, blur=0.05).item() == pytest.approx(5, rel=0.05)


@pytest.mark.parametrize("blur", [0.05, 0.5, 2.0])
def test_the_sinkhorn_divergence_is_that_of_geomloss(blur: float) -> None:
    geomloss = importlib.import_module("geomloss")
    x, y = cells(30, 10), cells(30, 10, seed=1) + 0.5
    slow = geomloss.SamplesLoss("sinkhorn", p=2, blur=blur, scaling=0.99, backend="tensorized")
    assert sinkhorn_divergence(x, y, blur=blur).tolist() == pytest.approx(
        slow(x, y).tolist(), rel=0.02
    )
    energy = geomloss.SamplesLoss("energy", backend="tensorized")(x, y)  # its zeros are 1e-4
    assert energy_distance(x, y).tolist() == pytest.approx(energy.tolist(), rel=1e-4)


def test_the_sinkhorn_divergence_nears_the_exact_transport_cost() -> None:
    ot = importlib.import_module("ot")
    x, y = cells(30, 10), cells(30, 10, seed=1) + 0.5
    exact = [ot.emd2([], [], ot.dist(a.numpy(), b.numpy()) / 2) for a, b in zip(x, y, strict=True)]
    assert sinkhorn_divergence(x, y, blur=0.05).tolist() == pytest.approx(exact, rel=0.02)


def dual_cost(x: Tensor, y: Tensor, temperature: float) -> float:
    """The entropic transport cost, relative to the product of the weights, by plain iterations."""
    cost = torch.cdist(x, y).square() / 2
    f, g = torch.zeros(len(x)).double(), torch.zeros(len(y)).double()
    for _ in range(2000):
        f = -temperature * ((g - cost) / temperature - math.log(len(y))).logsumexp(1)
        g = -temperature * ((f[:, None] - cost) / temperature - math.log(len(x))).logsumexp(0)
    return (f.mean() + g.mean()).item()


def test_the_sinkhorn_divergence_solves_the_dual_problem_where_the_blur_is_wide() -> None:
    x, y = cells(8, 3), cells(8, 3, seed=1) + 0.5
    expected = [
        dual_cost(a, b, 4.0) - dual_cost(a, a, 4.0) / 2 - dual_cost(b, b, 4.0) / 2
        for a, b in zip(x, y, strict=True)
    ]
    assert sinkhorn_divergence(x, y, blur=2.0).tolist() == pytest.approx(expected, rel=1e-3)


def test_se_is_a_hundredth_of_sinkhorn_and_the_energy() -> None:
    x, y = cells(), cells(seed=1)
    expected = 0.01 * sinkhorn_divergence(x, y, blur=0.3) + energy_distance(x, y)
    torch.testing.assert_close(sinkhorn_and_energy(x, y, blur=0.3), expected)


@pytest.mark.parametrize("name", ["energy", "mse", "change"])
@pytest.mark.parametrize("is_masked", [False, True])
def test_gradients_are_those_of_differences(name: str, is_masked: bool) -> None:
    mask = torch.arange(6) < torch.tensor([[6], [4], [1]]) if is_masked else None
    x, y = cells().requires_grad_(), cells(seed=1).requires_grad_()

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return LOSSES[name](x, y, mask)

    assert torch.autograd.gradcheck(loss, (x, y))


@pytest.mark.parametrize("name", ["gaussian", "laplacian"])
def test_gradients_of_kernels_are_those_of_a_fixed_bandwidth(name: str) -> None:
    x, y = cells(count=1), cells(count=1, seed=1)
    sigma = pooled_distance(x[0], y[0])

    def kernel(distance: Tensor) -> Tensor:
        scaled = distance / sigma
        return (-(scaled.square() / 2 if name == "gaussian" else scaled)).exp()

    def gradient(of: SetLoss) -> Tensor:
        given = x.clone().requires_grad_()
        (found,) = torch.autograd.grad(of(given, y, None).sum(), given)
        return found

    def plain(x: Tensor, y: Tensor, _: Tensor | None) -> Tensor:
        xy, xx, yy = (
            kernel((a[:, :, None] - b[:, None]).square().sum(-1).add(1e-30).sqrt()).mean((1, 2))
            for a, b in ((x, y), (x, x), (y, y))
        )
        return xx + yy - 2 * xy

    torch.testing.assert_close(gradient(LOSSES[name]), gradient(plain))


def test_the_gradient_of_sinkhorn_is_that_of_differences_once_it_has_converged() -> None:
    x, y = cells(5, 3, 1).requires_grad_(), cells(5, 3, 1, seed=1).requires_grad_()

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return sinkhorn_divergence(x, y, blur=3.0)

    assert torch.autograd.gradcheck(loss, (x, y), atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("name", LOSSES)
def test_equal_sets_have_no_loss_and_no_gradient(name: str) -> None:
    y = cells().float()
    x = y.clone().requires_grad_()
    loss = LOSSES[name](x, y, None)
    assert loss.abs().max() < 1e-5
    loss.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() < 1e-4


@pytest.mark.parametrize("name", LOSSES)
def test_cells_that_are_all_the_same_have_finite_gradients(name: str) -> None:
    for level in (0.0, 3.0):
        x = torch.full((2, 5, 4), level, requires_grad=True)
        loss = LOSSES[name](x, torch.full((2, 5, 4), level), None)
        loss.sum().backward()
        assert x.grad is not None
        assert (loss.tolist(), x.grad.abs().max().item()) == ([0, 0], 0)
    apart = torch.zeros(1, 5, 4, requires_grad=True)
    loss = LOSSES[name](apart, torch.ones(1, 5, 4), None)
    loss.sum().backward()
    assert loss.item() > 0
    assert apart.grad is not None
    assert apart.grad.isfinite().all()
    assert (apart.grad < 0).all()  # towards the real cells


@pytest.mark.parametrize("name", OF_DISTRIBUTIONS)
def test_the_order_of_the_cells_does_not_matter(name: str) -> None:
    x, y = cells(), cells(seed=1)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(LOSSES[name](x[:, order], y, None), LOSSES[name](x, y, None))


@pytest.mark.parametrize("name", LOSSES)
def test_padding_changes_neither_loss_nor_gradient(name: str) -> None:
    mask = torch.arange(9).expand(3, 9) < 6

    def loss_and_gradient(x: Tensor, y: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        x = x.clone().requires_grad_()
        loss = LOSSES[name](x, y, mask)
        (gradient,) = torch.autograd.grad(loss.sum(), x)
        return loss, gradient

    x, y = cells(), cells(seed=1)
    loss, gradient = loss_and_gradient(x, y, None)
    for filling in (torch.nan, 1e9):
        padding = torch.full((3, 3, 4), filling, dtype=torch.float64)
        padded, target = (torch.cat([one, padding], dim=1) for one in (x, y))
        with_padding, its_gradient = loss_and_gradient(padded, target, mask)
        torch.testing.assert_close(with_padding, loss)
        torch.testing.assert_close(its_gradient[:, :6], gradient)
        assert (its_gradient[:, 6:] == 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_set_without_cells_is_nan_and_leaves_the_gradients_of_others_alone(name: str) -> None:
    mask = torch.tensor([[True] * 6, [False] * 6, [True] * 3 + [False] * 3])
    x, y = cells().requires_grad_(), cells(seed=1)
    loss = LOSSES[name](x, y, mask)
    assert loss.isnan().tolist() == [False, True, False]
    loss.nansum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert (x.grad[1] == 0).all()
    assert (x.grad[0] != 0).any()


@pytest.mark.parametrize("name", LOSSES)
def test_a_prediction_that_is_nan_is_not_hidden(name: str) -> None:
    x = cells()
    x[1, 2, 3] = torch.nan
    assert LOSSES[name](x, cells(seed=1), None).isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_exact_within_autocast(name: str) -> None:
    x, y = cells(20, 50).float(), cells(20, 50, seed=1).float()
    exact = LOSSES[name](x, y, None)
    with torch.autocast("cpu", torch.bfloat16):
        within = LOSSES[name](x, y, None)
        rough = LOSSES[name](x.bfloat16(), y.bfloat16(), None)
    assert (within.dtype, rough.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(within, exact, rtol=0, atol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_float32_is_enough_for_expression_far_from_zero(name: str) -> None:
    x, y = cells(20, 2000) + 100, cells(20, 2000, seed=1) + 100.2
    rough = LOSSES[name](x.float(), y.float(), None).double()
    torch.testing.assert_close(rough, LOSSES[name](x, y, None), rtol=1e-3, atol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_one_graph(name: str) -> None:
    x, y, mask = cells(), cells(seed=1), torch.arange(6).expand(3, 6) < 5
    compiled = torch.compile(LOSSES[name], fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, y, mask), LOSSES[name](x, y, mask))


class Sizes(TorchFunctionMode):
    """Notes how many numbers each tensor has that is made."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    @override
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        parts = result if isinstance(result, tuple) else (result,)
        self.seen.extend(one.numel() for one in parts if isinstance(one, Tensor))
        return result


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_is_larger_than_the_cells_and_their_pairs(name: str) -> None:
    wide, deep = cells(8, 50), cells(50, 8)
    for x in (wide, deep):
        with Sizes() as sizes:
            LOSSES[name](x, x, torch.ones(x.shape[:2], dtype=torch.bool))
        assert max(sizes.seen) <= max(x.numel(), 3 * x.shape[1] ** 2)
