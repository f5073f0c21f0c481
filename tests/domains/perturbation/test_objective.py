"""The objective of predicting sets of cells: its parts, their weights, and what it refuses."""

import math
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor, nn
from typing_extensions import override

from runwright import InMemory, UserError, compose
from runwright.domains.perturbation.batch import CellSets, Prediction
from runwright.domains.perturbation.dims import PerturbationDims
from runwright.domains.perturbation.effect_measures import HIGHER_IS_BETTER
from runwright.domains.perturbation.llama import LlamaBackbone
from runwright.domains.perturbation.objective import SetPrediction
from runwright.domains.perturbation.pertsets import PertSetsFactory
from runwright.domains.perturbation.set_losses import (
    energy_distance,
    mean_change,
    mean_squared_error,
    set_loss,
    sinkhorn_divergence,
)
from runwright.domains.perturbation.set_prediction import SetPredictionFactory
from runwright.errors import ConfigError
from runwright.training.evaluation import evaluate

CPU = torch.device("cpu")
DIMS = PerturbationDims(features=8, perturbation_features=5, num_batches=3)
DECODED = attrs.evolve(DIMS, decoded_genes=11)


def sets(count: int = 4, size: int = 6, *, dims: PerturbationDims = DIMS) -> CellSets:
    """Full sets, whose perturbed cells are the control cells and what the perturbation adds."""
    generator = torch.Generator().manual_seed(1)
    perturbation = torch.randn(count, 5, generator=generator)
    basal = torch.rand(count, size, 8, generator=generator)
    effect = torch.randn(5, 8, generator=generator)
    decoded = dims.decoded_genes
    return CellSets(
        basal=basal,
        cells=(basal + 0.3 * (perturbation @ effect)[:, None]).relu(),
        perturbation=perturbation,
        perturbation_index=torch.arange(count),
        cell_type=torch.zeros(count, dtype=torch.int64),
        batch=torch.zeros(count, size, dtype=torch.int64),
        cell=torch.arange(count * size).view(count, size),
        genes=None if decoded is None else torch.rand(count, size, decoded, generator=generator),
    )


def objective(dims: PerturbationDims = DIMS, **options: Any) -> SetPrediction:
    return SetPredictionFactory(**options).build(dims, CPU)


class Known(nn.Module):
    """Predicts what it is told, whatever it is given."""

    def __init__(self, prediction: object) -> None:
        super().__init__()
        self.prediction = prediction

    @override
    def forward(self, *inputs: Tensor | None) -> object:
        return self.prediction


@pytest.mark.parametrize("name", ["energy", "sinkhorn", "gaussian", "laplacian", "mse", "se"])
def test_the_loss_is_the_mean_over_sets_of_the_one_that_is_chosen(name: str) -> None:
    batch = sets()
    found = objective(loss=name).losses(Known(Prediction(batch.basal)), batch)
    expected = set_loss(name, blur=0.05)(batch.basal, batch.cells, None).mean()
    assert found == {"loss": expected}


def test_blur_is_that_of_sinkhorn() -> None:
    batch = sets()
    found = objective(loss="sinkhorn", blur=2.0).losses(Known(Prediction(batch.basal)), batch)
    assert found["loss"] == sinkhorn_divergence(batch.basal, batch.cells, blur=2.0).mean()
    assert found["loss"] != sinkhorn_divergence(batch.basal, batch.cells, blur=0.05).mean()


def test_all_parts_have_names_and_weights() -> None:
    batch = sets(dims=DECODED)
    assert batch.genes is not None
    prediction = Prediction(batch.basal + 0.1, batch.genes + 1, torch.arange(4.0))
    found = objective(
        DECODED, loss="mse", regularization=7.0, decoder_loss_weight=3.0, confidence_weight=5.0
    ).losses(Known(prediction), batch)
    of_sets = mean_squared_error(batch.basal + 0.1, batch.cells)
    expected = {
        "cells": of_sets.mean(),
        "genes": torch.tensor(1.0),
        "confidence": (torch.arange(4.0) - of_sets).square().mean(),
        "change": torch.tensor(0.1),
    }
    total = (expected["cells"] + 3 * expected["genes"] + 5 * expected["confidence"]) + 7 * expected[
        "change"
    ]
    assert list(found) == ["loss", *expected]
    torch.testing.assert_close(found, {"loss": total, **expected})
    assert set(found) <= set(objective().higher_is_better)


def test_the_confidence_learns_the_loss_and_not_the_other_way_round() -> None:
    batch = sets()
    cells = (batch.basal + 0.1).requires_grad_()
    confidence = torch.zeros(4, requires_grad=True)
    losses = objective(loss="mse").losses(Known(Prediction(cells, None, confidence)), batch)
    losses["confidence"].backward()
    assert cells.grad is None
    expected = -2 * mean_squared_error(cells, batch.cells).detach() / 4
    torch.testing.assert_close(confidence.grad, expected)


def test_only_real_cells_and_sets_that_have_some_count() -> None:
    batch = sets()
    mask = torch.arange(6) < torch.tensor([[6], [4], [0], [1]])
    cells = batch.basal.masked_fill(~mask[..., None], torch.nan).requires_grad_()
    padded = attrs.evolve(batch, mask=mask)
    losses = objective(regularization=1.0).losses(Known(Prediction(cells)), padded)
    expected = [
        energy_distance(batch.basal[[i], :n], batch.cells[[i], :n]).item()
        for i, n in ((0, 6), (1, 4), (3, 1))
    ]
    assert losses["cells"].item() == pytest.approx(sum(expected) / 3, rel=1e-5)
    assert losses["change"].item() == 0
    losses["loss"].backward()
    assert cells.grad is not None
    assert cells.grad.isfinite().all()
    nothing = attrs.evolve(batch, mask=torch.zeros_like(mask))
    assert objective().losses(Known(Prediction(cells)), nothing)["loss"] == 0


def test_a_model_that_has_diverged_is_not_hidden() -> None:
    batch = sets()
    cells = batch.basal.clone()
    cells[0, 0, 0] = torch.nan
    for mask in (None, torch.ones(4, 6, dtype=torch.bool)):
        found = objective().losses(Known(Prediction(cells)), attrs.evolve(batch, mask=mask))
        assert math.isnan(found["loss"].item())


def test_a_split_has_the_mean_of_each_part_over_its_sets() -> None:
    batch = sets(5)
    split = InMemory(batch, batch_size=5, shuffle_seed=None)
    factory = PertSetsFactory(
        hidden_dim=8,
        backbone=LlamaBackbone(num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2),
    )
    model = factory.build(DIMS).eval()
    found = evaluate(model, objective(regularization=0.5), split).compute()
    cells = model(batch.basal, batch.perturbation).cells
    change = mean_change(cells, batch.basal).mean().item()
    distance = energy_distance(cells, batch.cells).mean().item()
    expected = {"loss": distance + 0.5 * change, "cells": distance, "change": change}
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    assert found.keys() == expected.keys() | HIGHER_IS_BETTER.keys()


@pytest.mark.parametrize("loss", ["energy", "sinkhorn", "gaussian", "laplacian", "mse", "se"])
def test_every_loss_teaches_the_network_the_effects(loss: str) -> None:
    torch.manual_seed(0)
    batch, minimised = sets(), objective(loss=loss)
    backbone = LlamaBackbone(
        num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, intermediate_size=32
    )
    model = PertSetsFactory(hidden_dim=32, backbone=backbone).build(DIMS)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    first = minimised.losses(model.eval(), batch)["loss"].item()
    model.train()
    for _ in range(60):
        minimised.losses(model, batch)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert minimised.losses(model.eval(), batch)["loss"].item() < 0.5 * first


@pytest.mark.parametrize(
    ("prediction", "said"),
    [
        (torch.zeros(4, 6, 8), "The model returned Tensor, not a Prediction"),
        (
            Prediction(torch.zeros(4, 6, 9), torch.zeros(4, 6, 11)),
            "The model returned shape (4, 6, 9) for 'cells'; the data have (4, 6, 8).",
        ),
        (
            Prediction(torch.zeros(4, 6, 8)),
            "The model returned no 'genes'; the data have (4, 6, 11).",
        ),
    ],
)
def test_a_model_that_returns_something_else_is_told_so(prediction: object, said: str) -> None:
    with pytest.raises(UserError) as caught:
        objective(DECODED).losses(Known(prediction), sets(dims=DECODED))
    assert said in str(caught.value)


def test_what_would_have_no_effect_is_refused() -> None:
    with pytest.raises(UserError, match="blur has no effect with loss=energy, only with sinkhorn "):
        SetPredictionFactory(blur=0.1)
    with pytest.raises(UserError) as caught:
        objective(decoder_loss_weight=2.0)
    assert str(caught.value).startswith("objective.decoder_loss_weight would have no effect")
    assert objective(DECODED, decoder_loss_weight=2.0)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "objective.confidence_weight=2",
            "objective.confidence_weight has no effect without model.confidence_token=true",
        ),
        ("objective.loss=energie", "energie"),
        ("objective.regularization=-1", "objective.regularization must be ≥ 0, got -1.0"),
    ],
)
def test_mistakes_are_said_with_the_full_keys(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(["dm=cmnist", "model=pertsets", "objective=perturbation", override])
    assert said in str(caught.value)
