"""Matrices that lie in a file in many stretches."""

from pathlib import Path
from typing import Any

import anndata
import numpy as np
from scipy import sparse

from domains.perturbation.test_rows import dense
from runwright.domains.perturbation.rows import CsrRows, open_rows


def test_a_matrix_that_anndata_writes_in_many_stretches_is_mapped(tmp_path: Path) -> None:
    expected: Any = sparse.random(3000, 3000, density=0.1, format="csr", dtype="float32", rng=0)
    anndata.AnnData(X=expected).write_h5ad(tmp_path / "a.h5ad")
    rows = open_rows(tmp_path / "a.h5ad", "X", None, tmp_path / "copies")
    assert isinstance(rows, CsrRows)
    assert len(rows.values.parts) > 1
    if Path("/proc/self/maps").exists():
        maps = Path("/proc/self/maps").read_text().splitlines()
        assert len([one for one in maps if one.endswith("a.h5ad")]) == 1
    rows.values.ask_for(rows.offsets[:-1], rows.offsets[1:])  # also across the edges of parts
    wanted = np.arange(len(expected.indptr) - 1)[::-1].copy()
    np.testing.assert_array_equal(dense(rows.read(wanted)), expected.toarray()[wanted])
    assert not (tmp_path / "copies").exists()
