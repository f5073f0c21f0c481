"""Predicted cells as h5ad files: what the anndata package reads is what was predicted."""

import re
import sys
from pathlib import Path
from typing import Any

import anndata
import attrs
import numpy as np
import pytest
import torch

from runwright.domains.perturbation.batch import CellSets, Prediction
from runwright.domains.perturbation.dims import PerturbationDims
from runwright.domains.perturbation.prediction_files import barcodes_of, cell_file, cell_files

DIMS = PerturbationDims(
    features=4,
    perturbation_features=2,
    cell_type_names=("T", "U"),
    perturbation_names=("A", "control"),
    batch_names=("b0",),
    gene_names=("g0", "g1", "g2", "g3"),
    control=1,
    columns={"cell_type": "kind", "perturbation": "gene"},
)


def batch(first: int, *, genes: bool = False) -> tuple[Prediction, CellSets]:
    """A set of A and one of the control, of 3 cells, the last one of each padding."""
    torch.manual_seed(first)
    cells = torch.rand(2, 3, 4).round(decimals=2)
    predicted = torch.rand(2, 3, 4)
    sets = CellSets(
        basal=torch.rand(2, 3, 4),
        cells=cells,
        perturbation=torch.zeros(2, 2),
        perturbation_index=torch.tensor([0, 1]),
        cell_type=torch.tensor([1, 0]),
        batch=torch.zeros(2, 3, dtype=torch.int64),
        cell=torch.arange(first, first + 6).view(2, 3),
        mask=torch.tensor([[True, True, False]] * 2),
        genes=torch.rand(2, 3, 5) if genes else None,
    )
    return Prediction(predicted, torch.rand(2, 3, 5) if genes else None), sets


def read(path: Path) -> Any:
    return anndata.read_h5ad(path)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    given = [batch(0), batch(6)]
    with cell_files(tmp_path, "test", DIMS) as files:
        for outputs, sets in given:
            files.write(outputs, sets)
    found = {kind: read(tmp_path / f"adata_{kind}_test.h5ad") for kind in ("pred", "real")}
    for one in found.values():
        assert list(one.obs["kind"]) == ["U", "U", "T", "T"] * 2
        assert list(one.obs["gene"]) == ["A", "A", "control", "control"] * 2
        assert list(one.obs_names) == [f"cell_{i}" for i in (0, 1, 3, 4, 6, 7, 9, 10)]
        assert list(one.var_names) == list(DIMS.gene_names)
    real = torch.cat([sets.cells[:, :2].reshape(-1, 4) for _, sets in given]).numpy()
    predicted = torch.cat([outputs.cells[:, :2].reshape(-1, 4) for outputs, _ in given]).numpy()
    is_control = (found["real"].obs["gene"] == "control").to_numpy()
    np.testing.assert_array_equal(found["real"].X.toarray(), real)
    np.testing.assert_array_equal(found["pred"].X.toarray()[~is_control], predicted[~is_control])
    np.testing.assert_array_equal(found["pred"].X.toarray()[is_control], real[is_control])


def memory() -> int:
    """The bytes that this process holds for itself."""
    (line,) = re.findall(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(line)


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_the_cells_that_are_written_are_not_kept(tmp_path: Path) -> None:
    dims = attrs.evolve(DIMS, features=400, gene_names=())
    cells = np.random.default_rng(0).random((512, 400), dtype=np.float32)  # 0.8 MB; 1.6 as CSR
    with cell_file(tmp_path / "a.h5ad", dims) as file:
        before = 0
        for number in range(120):
            of = np.zeros(512, dtype=np.int64)
            cell = np.arange(512) + 512 * number
            file.append(cells, cell_type=of, perturbation=of, batch=of, cell=cell)
            if number == 20:
                before = memory()
        grown = memory() - before
    assert grown < 40e6  # of 160 MB that were written since
    written = read(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(written.X[-512:].toarray(), cells)


def test_decoded_genes_are_written_where_there_are_some(tmp_path: Path) -> None:
    dims = attrs.evolve(DIMS, decoded_genes=5, gene_names=())
    outputs, sets = batch(0, genes=True)
    with cell_files(tmp_path, "val", dims) as files:
        files.write(outputs, sets)
    found = read(tmp_path / "adata_pred_val.h5ad")
    assert outputs.genes is not None
    np.testing.assert_array_equal(found.X.toarray()[:2], outputs.genes[0, :2].numpy())


def test_cells_have_the_names_of_their_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files: list[tuple[Path, int]] = []
    for start, barcodes in ((0, ["AAA", "AAC", "AAG", "AAT"]), (4, ["ACA", "AAC", "ACC"])):
        adata: Any = anndata.AnnData(np.zeros((len(barcodes), 2), np.float32))
        adata.obs_names = barcodes
        files.append((tmp_path / f"{start}.h5ad", start))
        adata.write_h5ad(files[-1][0])
    cells = np.array([6, 0, 3, 4])
    assert barcodes_of(cells, files).tolist() == ["ACC", "AAA", "AAT", "ACA"]
    assert barcodes_of(cells, []).tolist() == ["cell_6", "cell_0", "cell_3", "cell_4"]
    with caplog.at_level("INFO"):
        assert barcodes_of(np.array([1, 5, 6]), files).tolist() == ["AAC-1", "AAC-5", "ACC"]
    assert "2 cells have the name of another; their numbers are added." in caplog.text


def test_what_fails_leaves_the_files_of_before(tmp_path: Path) -> None:
    with cell_files(tmp_path, "test", DIMS) as files:
        files.write(*batch(0))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    outputs, sets = batch(6)
    wrong = attrs.evolve(sets, cells=torch.rand(2, 3, 7))
    files = cell_files(tmp_path, "test", DIMS)
    with pytest.raises(RuntimeError), files as opened:
        opened.write(outputs, wrong)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
