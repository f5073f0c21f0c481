"""All cells of all files: a cell type that several data sets have is one of each."""

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import torch

from domains.perturbation.cells import CONTROL, options, random_cells, write_project
from runwright import Runtime, compose
from runwright.domains.perturbation.batch import Prediction
from runwright.domains.perturbation.data_module import PerturbationDataModule
from runwright.domains.perturbation.effect_measures import EffectMeasures

ONE_IS_UNSEEN = '[zeroshot]\n"a.T" = "test"\n'


def built(toml: Path, run_dir: Path, *, trains: bool = True, **more: Any) -> Any:
    runtime = Runtime(device=torch.device("cpu"), seed=7, run_dir=run_dir, trains=trains)
    return PerturbationDataModule(**options(toml, **more)).build(runtime)


def test_cell_types_of_several_data_sets_are_told_apart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    cells = {"a": random_cells(seed=0), "b": random_cells(seed=1, cell_types=("T", "V"))}
    toml = write_project(tmp_path, ONE_IS_UNSEEN, **cells)
    data = built(toml, tmp_path / "run")
    assert data.dims.cell_type_names == ("U", "V", "a.T", "b.T")
    assert "measured in each by itself: a.T, b.T." in caplog.text
    named = data.dims.cell_type_names
    assert {named[i] for b in data.train.batches(0) for i in b.cell_type} == {"U", "V", "b.T"}
    assert {named[i] for b in data.test.batches(0) for i in b.cell_type} == {"a.T"}


def test_the_files_of_one_data_set_have_the_same_cell_types(tmp_path: Path) -> None:
    write_project(tmp_path, a1=random_cells(seed=0), a2=random_cells(seed=1))
    toml = tmp_path / "cells.toml"
    toml.write_text('[datasets]\na = "a{1,2}.h5ad"\n[training]\na = "train"\n')
    assert built(toml, tmp_path / "run").dims.cell_type_names == ("T", "U")


def test_a_cell_type_that_is_called_as_one_of_a_data_set_is_told_apart_too(tmp_path: Path) -> None:
    cells = {
        "a": random_cells(seed=0, cell_types=("T",)),
        "b": random_cells(seed=1, cell_types=("T", "a.T")),
    }
    data = built(write_project(tmp_path, **cells), tmp_path / "run")
    assert data.dims.cell_type_names == ("a.T", "b.T", "b.a.T")


def test_effects_are_measured_against_the_controls_of_the_data_set(tmp_path: Path) -> None:
    """Pooled by name, the distance of the two data sets would be taken for an effect."""
    far = random_cells(seed=1)
    far.X = far.X + far.X.__class__(np.full(far.shape, 100, dtype=np.float32))
    far = far[far.obs["target_gene"].isin([CONTROL, "A"])].copy()
    held_out = '[zeroshot]\n"a.T" = "test"\n"b.T" = "test"\n'
    toml = write_project(tmp_path, held_out, a=random_cells(seed=0), b=far)
    data = built(toml, tmp_path / "run")
    measures = EffectMeasures(data.dims, torch.device("cpu"))
    for batch in data.test.batches(0):
        measures.update(Prediction(batch.cells), batch)
    for one in measures.means():
        assert float((one.real - one.control).abs().max()) < 1


def test_a_later_stage_knows_the_cell_types_apart(tmp_path: Path) -> None:
    toml = write_project(tmp_path / "data", a=random_cells(seed=0), b=random_cells(seed=1))
    built(toml, tmp_path / "run")
    only = write_project(tmp_path / "only", '[zeroshot]\n"b.U" = "test"\n', b=random_cells(seed=1))
    data = built(only, tmp_path / "run", trains=False)
    named = data.dims.cell_type_names
    assert named == ("a.T", "a.U", "b.T", "b.U")
    assert {named[i] for batch in data.train.batches(0) for i in batch.cell_type} == {"b.T"}
    assert {named[i] for batch in data.test.batches(0) for i in batch.cell_type} == {"b.U"}


def test_predicted_cells_and_effects_have_the_name_of_the_data_set(tmp_path: Path) -> None:
    cells = {"a": random_cells(seed=0), "b": random_cells(seed=1)}
    toml = write_project(tmp_path / "data", ONE_IS_UNSEEN, **cells)
    columns = ["dm.pert_col=target_gene", "dm.batch_col=batch_var", f"dm.control_pert={CONTROL}"]
    chosen = ["dm=perturbation", "model=context_mean", "gpu=-1", f"dm.toml_config_path={toml}"]
    sets = ["dm.cell_set_len=4", "dm.batch_size=3", "training.epochs=1"]
    compose([*chosen, *columns, *sets, "then=[test,predict,compare]"]).run(tmp_path / "run")
    rows = (tmp_path / "run" / "effects_test.csv").read_text().splitlines()[1:]
    assert {row.partition(",")[0] for row in rows} == {"a.T"}
    predicted = anndata.read_h5ad(tmp_path / "run" / "adata_pred_test.h5ad")
    assert set(predicted.obs["cell_type"]) == {"a.T"}
    compared = (tmp_path / "run" / "compare_test.csv").read_text().splitlines()[1:]
    assert {row.partition(",")[0] for row in compared} == {"zeroshot"}
