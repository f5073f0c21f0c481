"""Values that no cell can have: refused with their place, also where a mean would hide them."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from scipy import sparse

from domains.perturbation.cells import options, random_cells, write_project
from runwright import Runtime, UserError
from runwright.domains.perturbation.data_module import PerturbationDataModule

HELD_OUT = '[zeroshot]\n"a.U" = "test"\n'


def built(toml: Path, **more: Any) -> Any:
    runtime = Runtime(device=torch.device("cpu"), seed=7, run_dir=toml.parent / "run")
    return PerturbationDataModule(**options(toml, **more)).build(runtime)


@pytest.mark.parametrize(
    ("value", "is_sparse", "said"),
    [
        (-0.5, True, r"X has the value -0.5 in row 5 \(from 0\), and no expression is below 0"),
        (-0.5, False, r"X has the value -0.5 in row 5 \(from 0\), and no expression is below 0"),
        (np.nan, True, r"X has the value nan in row 5 \(from 0\). Replace such values, or"),
        (np.inf, False, r"X has the value inf in row 5 \(from 0\). Replace such values, or"),
    ],
)
def test_values_that_cannot_be_expression_are_refused_with_their_place(
    tmp_path: Path, value: float, is_sparse: bool, said: str
) -> None:
    cells = random_cells(seed=0)
    x = cells.X.toarray()
    x[5, 7] = value
    cells.X = sparse.csr_matrix(x) if is_sparse else x
    cells.obsm["X_same"] = np.nan_to_num(x, nan=-9, posinf=-9)
    toml = write_project(tmp_path, a=cells)
    data = built(toml, batch_size=16)
    with pytest.raises(UserError, match=f"a.h5ad: {said}"):
        list(data.train.batches(0))
    data = built(toml, output_space="embedding", embed_key="X_same", batch_size=16)
    assert list(data.train.batches(0))


@pytest.mark.parametrize("perturbation", ["C", "non-targeting"])
@pytest.mark.parametrize("num_controls", [1, 3])
def test_where_cells_are_measured_every_batch_is_looked_at(
    tmp_path: Path, perturbation: str, num_controls: int
) -> None:
    """A NaN would be left out of the mean over perturbations, without a word."""
    cells = random_cells(seed=0)
    is_it = (cells.obs["cell_type"] == "U") & (cells.obs["target_gene"] == perturbation)
    row = np.flatnonzero(is_it)[-1]
    cells.X = cells.X.toarray()
    cells.X[row, 3] = np.nan
    toml = write_project(tmp_path, HELD_OUT, a=cells)
    data = built(toml, batch_size=1, n_basal_samples=num_controls)
    assert list(data.train.batches(0))  # of other cells
    with pytest.raises(UserError, match=rf"a.h5ad: X has the value nan in row {row} \(from 0\)"):
        list(data.test.batches(0))


def test_several_values_for_one_gene_are_refused(tmp_path: Path) -> None:
    toml = write_project(tmp_path, a=random_cells(seed=0))
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        x: Any = file["X"]
        columns = x["indices"][:]
        first = x["indptr"][6]
        columns[first + 1] = columns[first]
        x["indices"][...] = columns
    with pytest.raises(UserError, match=r"several values for one gene in row 6 .*sum_duplicates"):
        list(built(toml, batch_size=16).train.batches(0))


@pytest.mark.parametrize("is_sparse", [True, False])
def test_counts_are_told_once(
    tmp_path: Path, is_sparse: bool, caplog: pytest.LogCaptureFixture
) -> None:
    cells = random_cells(seed=0)
    counts = np.round(cells.X.toarray() * 40)
    cells.X = sparse.csr_matrix(counts) if is_sparse else counts
    data = built(write_project(tmp_path, a=cells))
    for epoch in range(2):
        list(data.train.batches(epoch))
    assert caplog.text.count("a.h5ad: X seems to hold counts, whole numbers up to ") == 1
    caplog.clear()
    list(built(write_project(tmp_path / "logarithms", a=random_cells(seed=0))).train.batches(0))
    assert not caplog.text


def test_columns_need_not_be_in_order(tmp_path: Path) -> None:
    cells = random_cells(seed=0)
    expected = cells.X.toarray()
    for first, end in zip(cells.X.indptr, cells.X.indptr[1:], strict=False):
        cells.X.indices[first:end] = cells.X.indices[first:end][::-1].copy()
        cells.X.data[first:end] = cells.X.data[first:end][::-1].copy()
    for batch in built(write_project(tmp_path, a=cells)).train.batches(0):
        assert torch.equal(batch.cells, torch.from_numpy(expected)[batch.cell])
