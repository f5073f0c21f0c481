"""Baselines as models: an epoch fits them to what the functions on profiles say."""

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from domains.perturbation.cells import CONTROL, options, random_cells, write_project
from runwright import Data, FittedModel, Runtime, UserError
from runwright.domains.perturbation.baseline_models import (
    BaselineFactory,
    ContextMeanFactory,
    PertRidgeFactory,
    PerturbMeanFactory,
)
from runwright.domains.perturbation.baselines import Floats, context_mean, perturb_mean, ridge
from runwright.domains.perturbation.batch import CellSets
from runwright.domains.perturbation.data_module import PerturbationDataModule
from runwright.domains.perturbation.dims import PerturbationDims

TOML = '[zeroshot]\n"a.V" = "val"\n[fewshot."a.U"]\ntest = ["A"]\n'
KINDS = (PerturbMeanFactory, ContextMeanFactory, PertRidgeFactory)


def predicted(kind: type[BaselineFactory], training: Floats, control: Floats) -> Floats:
    if kind is PerturbMeanFactory:
        return perturb_mean(training, control)
    if kind is ContextMeanFactory:
        return context_mean(training, control)
    return ridge(training, control, np.eye(4), penalty=1.0)


@pytest.fixture(scope="module")
def cells() -> Any:
    return random_cells(seed=0, cell_types=("T", "U", "V"), per_group=8)


@pytest.fixture
def data(tmp_path: Path, cells: Any) -> Data[PerturbationDims, CellSets]:
    toml = write_project(tmp_path, TOML, a=cells)
    chosen = options(toml, cell_set_len=5, batch_size=4, map_controls=False)
    runtime = Runtime(device=torch.device("cpu"), seed=0, run_dir=tmp_path)
    return PerturbationDataModule(**chosen).build(runtime)


@pytest.mark.parametrize("kind", KINDS)
def test_it_predicts_the_effect_that_the_function_says(
    data: Data[PerturbationDims, CellSets], cells: Any, kind: type[BaselineFactory]
) -> None:
    model = kind().build(data.dims)
    assert isinstance(model, FittedModel)
    for batch in data.train.each_once().batches(0):
        model.observe(batch)
    names = data.dims.perturbation_names
    training = np.full((3, 4, 12), np.nan)
    x, of_type = cells.X.toarray(), cells.obs["cell_type"].to_numpy()
    of_perturbation = cells.obs["target_gene"].to_numpy()
    for c, cell_type in enumerate(("T", "U")):
        for p, perturbation in enumerate(names):
            if perturbation == CONTROL or (cell_type, perturbation) == ("U", "A"):
                continue
            training[c, p] = x[(of_type == cell_type) & (of_perturbation == perturbation)].mean(0)
    control = np.zeros((3, 12))
    for c, cell_type in enumerate(("T", "U")):
        control[c] = x[(of_perturbation == CONTROL) & (of_type == cell_type)].mean(0)
    profiles = predicted(kind, training, control)
    for split in (data.val, data.test):
        assert split is not None
        for batch in split.batches(0):
            c, p = int(batch.cell_type[0]), int(batch.perturbation_index[0])
            effect = (model(batch).cells - batch.basal)[0]
            wanted = np.zeros(12) if names[p] == CONTROL else profiles[c, p] - control[c]
            np.testing.assert_allclose(effect.numpy(), np.tile(wanted, (5, 1)), atol=1e-5)


def one_set(
    data: Data[PerturbationDims, CellSets], *, cell_type: int, perturbation: int, vector: Any
) -> CellSets:
    """A set of training cells as if it were of another cell type and perturbation."""
    batch = next(iter(data.train.batches(0))).select(torch.tensor([0]))
    return attrs.evolve(
        batch,
        cell_type=torch.tensor([cell_type]),
        perturbation_index=torch.tensor([perturbation]),
        perturbation=torch.tensor(np.array([vector]), dtype=torch.float32),
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vector", [(0.5, 0.5, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)])
def test_new_cell_types_and_perturbations_are_pairs_without_a_profile(
    data: Data[PerturbationDims, CellSets], kind: type[BaselineFactory], vector: Any
) -> None:
    model, control = kind().build(data.dims), data.dims.control
    assert isinstance(model, FittedModel)
    for batch in data.train.each_once().batches(0):
        model.observe(batch)
    with np.errstate(invalid="ignore"):
        training = (model.total / model.count[:, :, None]).numpy()  # 0/0: NaN
    training[2] = np.nan  # (3, 4, 12); of the third type there is nothing
    training = np.pad(training, ((0, 1), (0, 1), (0, 0)), constant_values=np.nan)
    controls = np.zeros((4, 12))
    controls[:2] = training[:2, control]
    training[:, control] = np.nan
    vectors = np.vstack([np.eye(4), vector])
    if kind is PertRidgeFactory:
        profiles = ridge(training, controls, vectors, penalty=1.0)
    else:
        profiles = predicted(kind, training, controls)
    for cell_type, perturbation in ((3, 4), (0, 4), (3, 1)):
        batch = one_set(
            data, cell_type=cell_type, perturbation=perturbation, vector=vectors[perturbation]
        )
        effect = (model(batch).cells - batch.basal)[0]
        wanted = profiles[cell_type, perturbation] - controls[cell_type]
        np.testing.assert_allclose(effect.numpy(), np.tile(wanted, (5, 1)), atol=1e-5)


def test_a_perturbation_that_is_not_trained_on_is_told_by_its_vector(
    tmp_path: Path, cells: Any
) -> None:
    held_out = '[fewshot]\n"a.T" = {test = ["C"]}\n"a.U" = {test = ["C"]}\n"a.V" = {test = ["C"]}\n'
    vectors = {"A": [1.0, 0.0], "B": [0.0, 1.0], "C": [1.0, 0.0]}  # C is told to be as A
    save_file(
        {name: torch.tensor(one) for name, one in vectors.items()}, tmp_path / "v.safetensors"
    )
    toml = write_project(tmp_path, held_out, a=cells)
    chosen = options(toml, perturbation_features_file=tmp_path / "v.safetensors")
    runtime = Runtime(device=torch.device("cpu"), seed=0, run_dir=tmp_path)
    data = PerturbationDataModule(**chosen).build(runtime)
    model = PertRidgeFactory(penalty=1e-6).build(data.dims)
    assert isinstance(model, FittedModel)
    for batch in data.train.each_once().batches(0):
        model.observe(batch)
    effects = {
        data.dims.perturbation_names[int(one.perturbation_index[0])]: (model(one).cells - one.basal)
        for split in (data.train.each_once(), data.test)
        if split is not None
        for batch in split.batches(0)
        for one in (batch.select(torch.tensor([place])) for place in range(len(batch)))
        if int(one.cell_type[0]) == 0
    }
    assert effects["A"].abs().max() > 0.01
    torch.testing.assert_close(effects["C"][0, 0], effects["A"][0, 0], atol=1e-5, rtol=0)


def test_before_it_has_seen_anything_it_predicts_no_effect(
    data: Data[PerturbationDims, CellSets],
) -> None:
    batch = next(iter(data.train.batches(0)))
    assert torch.equal(PerturbMeanFactory().build(data.dims)(batch).cells, batch.basal)


def test_its_weights_are_what_it_has_seen(data: Data[PerturbationDims, CellSets]) -> None:
    fitted, other = (PertRidgeFactory().build(data.dims) for _ in range(2))
    batches = list(data.train.batches(0))
    for batch in batches:
        fitted.observe(batch)
    batch = batches[0]
    other(batch)
    other.load_state_dict(fitted.state_dict())
    assert torch.equal(other(batch).cells, fitted(batch).cells)


def test_genes_of_an_embedding_are_not_decoded() -> None:
    dims = PerturbationDims(features=5, perturbation_features=4, decoded_genes=12)
    with pytest.raises(UserError, match=r"decode no genes from an embedding. Use dm.embed_key=nul"):
        PerturbMeanFactory().build(dims)
