"""Predicting the cells of a new file: what it must have, and what is told of what it lacks."""

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from domains.perturbation.cells import CONTROL, random_cells, write_project
from runwright import UserError, compose


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """The options of a training on two perturbations."""
    cells = random_cells(seed=0)
    cells = cells[cells.obs["target_gene"] != "C"].copy()
    toml = write_project(tmp_path / "data", a=cells)
    columns = ["dm.pert_col=target_gene", "dm.batch_col=batch_var", f"dm.control_pert={CONTROL}"]
    sets = ["dm.cell_set_len=4", "dm.batch_size=2", f"dm.toml_config_path={toml}"]
    chosen = ["dm=perturbation", "model=state_xs", "gpu=-1", "pictures=false"]
    return [*chosen, *columns, *sets, "training.max_steps=1"]


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A file with one perturbation more."""
    random_cells(seed=5).write_h5ad(tmp_path / "new.h5ad")
    return tmp_path / "new.h5ad"


def infer(run: Path, file: Path, *more: str) -> None:
    stage = ["stage=infer", f"stage.file={file}", f"checkpoint.load={run}", "gpu=-1"]
    compose([*stage, *more]).run(run.parent / "inferred")


def test_a_file_that_is_not_there_is_named(options: list[str], tmp_path: Path) -> None:
    compose(options).run(tmp_path / "run")
    with pytest.raises(UserError, match=r"stage.file=.*no.h5ad does not exist"):
        infer(tmp_path / "run", tmp_path / "no.h5ad")


def test_one_hot_vectors_know_no_other_perturbations(
    options: list[str], new: Path, tmp_path: Path
) -> None:
    compose(options).run(tmp_path / "run")
    with pytest.raises(UserError, match=r"new.h5ad: C. One-hot vectors .* Leave the cells of othe"):
        infer(tmp_path / "run", new)
    assert not (tmp_path / "inferred" / "inferred.h5ad").exists()


def test_a_perturbation_without_a_vector_is_an_error_unless_allowed(
    options: list[str], new: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "vectors.safetensors"
    save_file({name: torch.randn(6) for name in ("A", "B")}, file)
    run = tmp_path / "run"
    compose([*options, f"dm.perturbation_features_file={file}"]).run(run)
    with pytest.raises(UserError, match=r"1 of 1 perturbations have no vector in .*: C. Add them"):
        infer(run, new)
    infer(run, new, "dm.allow_missing_features=true")
    assert "C. They get zeros." in caplog.text
    inferred: Any = anndata.read_h5ad(tmp_path / "inferred" / "inferred.h5ad")
    assert set(inferred.obs["target_gene"]) == {"A", "B", "C", CONTROL}
    assert np.isfinite(inferred.X.toarray()).all()
