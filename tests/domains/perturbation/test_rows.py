"""Rows out of a memory map equal those of the anndata package, however the file is written."""

import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from scipy import sparse

from domains.perturbation.cells import random_cells
from programs import run_python
from runwright import SparseRows, UserError
from runwright.domains.perturbation.rows import CsrRows, open_rows

WANTED = np.array([5, 0, 5, 55, 17])
WAYS = ["csr", "dense", "float64", "integers", "gzip", "dense gzip", "big-endian", "unsigned"]
KINDS = {"big-endian": (">f4", ">i4"), "unsigned": ("<f2", "<u2")}


def written(path: Path, way: str) -> NDArray[np.float32]:
    cells = random_cells(seed=3)
    if way == "integers":
        cells.X = sparse.csr_matrix((cells.X.toarray() * 9).astype(np.int32))
    if way == "float64":
        cells.X = cells.X.astype(np.float64)
    if way.startswith("dense"):
        cells.X = cells.X.toarray()
    cells.write_h5ad(path, compression="gzip" if way.endswith("gzip") else None)
    if way in KINDS:  # other programs than anndata write them
        cells.X.data = cells.X.data.astype(KINDS[way][0]).astype(np.float32)
        with h5py.File(path, "r+") as file:
            x: Any = file["X"]
            for name, kind in zip(("data", "indices"), KINDS[way], strict=True):
                values = x[name][:]
                del x[name]
                x[name] = values.astype(kind)
    return np.asarray(cells.X.todense() if sparse.issparse(cells.X) else cells.X, dtype=np.float32)


def dense(rows: "torch.Tensor | SparseRows") -> NDArray[np.float32]:
    return (rows.dense() if isinstance(rows, SparseRows) else rows).numpy()


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("columns", [None, [1, 4, 11], [11, 0]])
@pytest.mark.parametrize("way", WAYS)
def test_rows_are_those_of_anndata(
    tmp_path: Path, way: str, columns: list[int] | None, asks: bool
) -> None:
    expected = written(tmp_path / "a.h5ad", way)
    places = None if columns is None else np.array(columns)
    rows = open_rows(tmp_path / "a.h5ad", "X", places, tmp_path / "copies", asks=asks)
    found = rows.read(WANTED)
    assert isinstance(found, torch.Tensor) == way.startswith("dense")
    wanted = expected[WANTED] if columns is None else expected[WANTED][:, columns]
    np.testing.assert_array_equal(dense(found), wanted)
    assert rows.width == wanted.shape[1]
    assert dense(found).dtype == np.float32


@pytest.mark.parametrize("way", WAYS)
def test_to_another_process_goes_where_rows_are_and_not_what_is_in_them(
    tmp_path: Path, way: str
) -> None:
    expected = written(tmp_path / "a.h5ad", way)
    rows = open_rows(tmp_path / "a.h5ad", "X", None, tmp_path / "copies")
    sent = pickle.dumps(rows)
    offsets = rows.offsets.nbytes if isinstance(rows, CsrRows) else 0
    assert len(sent) < offsets + 1500
    assert expected.nbytes > 2000
    np.testing.assert_array_equal(dense(pickle.loads(sent).read(WANTED)), expected[WANTED])


def test_what_is_not_compressed_is_mapped_where_it_is(tmp_path: Path) -> None:
    written(tmp_path / "a.h5ad", "csr")
    open_rows(tmp_path / "a.h5ad", "X", None, tmp_path / "copies")
    assert not (tmp_path / "copies").exists()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    cells = random_cells(seed=3)
    cells.X = cells.X.tocsc()
    cells.write_h5ad(tmp_path / "a.h5ad")
    path, copies = tmp_path / "a.h5ad", tmp_path / "copies"
    with pytest.raises(UserError, match=r"X is stored by columns \(CSC\).*adata.X.tocsr\(\)"):
        open_rows(path, "X", None, copies)
    with pytest.raises(UserError, match=r"no embedding 'X_pc' in obsm.*Did you mean 'X_pca'\?"):
        open_rows(path, "obsm/X_pc", None, copies)
    cells.obsm["X_csc"] = sparse.csc_matrix(cells.obsm["X_pca"])
    cells.obsm["X_table"] = pd.DataFrame(cells.obsm["X_pca"], index=cells.obs_names)
    cells.obsm["X_table"].columns = list("abcde")
    cells.X = cells.X.toarray().astype(np.complex64)
    cells.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(UserError, match=r"`adata.obsm\['X_csc'\] = adata.obsm\['X_csc'\].tocsr\("):
        open_rows(path, "obsm/X_csc", None, copies)
    with pytest.raises(
        UserError, match=r"stored as a table, .* = adata.obsm\['X_table'\].to_numpy"
    ):
        open_rows(path, "obsm/X_table", None, copies)
    with pytest.raises(UserError, match=r"values of X are of type complex64, not real numbers"):
        open_rows(path, "X", None, copies)
    cells.X = None
    cells.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(UserError, match=r"has no X, the expression of the cells; it has layers"):
        open_rows(path, "X", None, copies)
    with h5py.File(path, "r+") as file:
        file["X"] = np.zeros((3, 12))
    with pytest.raises(UserError, match=r"X has 3 rows, and obs has 56 cells. Write the file with"):
        open_rows(path, "X", None, copies)


def cut(values: Any) -> Any:
    return values[:-3]


def turned_round(values: Any) -> Any:
    return values[::-1]


def too_large(values: Any) -> Any:
    return np.where(values == values[0], 12, values)


def negative(values: Any) -> Any:
    return np.where(values == values[0], -1, values)


@pytest.mark.parametrize(
    ("key", "edit", "said"),
    [
        ("indptr", cut, r"X is damaged: where its rows begin \(indptr\) does not fit its 56 rows"),
        ("indptr", turned_round, r"\(indptr\) does not fit its 56 rows and"),
        ("data", cut, r"\(indptr\) does not fit its 56 rows and"),
        ("indices", too_large, r"12 columns has a value in a column that there is not"),
        ("indices", negative, r"12 columns has a value in a column that there is not"),
    ],
)
def test_a_sparse_matrix_that_contradicts_itself_is_refused(
    tmp_path: Path, key: str, edit: Callable[[Any], Any], said: str
) -> None:
    path = tmp_path / "a.h5ad"
    random_cells(seed=3).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        x: Any = file["X"]
        values = edit(x[key][:])
        del x[key]
        x[key] = values
    with pytest.raises(UserError, match=f"a.h5ad: .*{said}"):
        open_rows(path, "X", None, tmp_path).read(np.arange(56))


@pytest.mark.parametrize("is_sparse", [True, False])
def test_there_are_as_many_columns_as_genes(tmp_path: Path, is_sparse: bool) -> None:
    path, cells = tmp_path / "a.h5ad", random_cells(seed=3)
    cells.X = cells.X if is_sparse else cells.X.toarray()
    cells.write_h5ad(path)
    fewer = random_cells(seed=3)[:, :11].copy()
    fewer.write_h5ad(tmp_path / "b.h5ad")
    with h5py.File(path, "r+") as file, h5py.File(tmp_path / "b.h5ad") as other:
        del file["var"]
        other.copy("var", file)
    with pytest.raises(UserError, match=r"a.h5ad: X has 12 columns, and var has 11 genes. Write"):
        open_rows(path, "X", None, tmp_path)


def test_more_files_than_may_be_open_are_told_with_the_way_out(tmp_path: Path) -> None:
    written(tmp_path / "a.h5ad", "csr")
    code = (
        "import pathlib, resource, sys\n"
        "from runwright import UserError\n"
        "from runwright.domains.perturbation.rows import open_rows\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "try: kept = [open_rows(path, 'X', None, path.parent) for _ in range(60)]\n"
        "except UserError as error: print(error)\n"
    )
    done = run_python("-c", code, tmp_path / "a.h5ad")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r".*a.h5ad cannot be opened: each file stays open while it is trained on, and there are "
        r"more than may be open at once\. Raise the limit before you start, `ulimit -n 65536`, or "
        r"join the files\.\n",
        done.stdout,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what was read")
@pytest.mark.parametrize("way", ["csr", "dense"])
def test_what_is_asked_for_is_what_is_read_from_disk(tmp_path: Path, way: str) -> None:
    x: Any = np.random.default_rng(0).random((4000, 1500), dtype=np.float32)
    anndata.AnnData(X=sparse.csr_matrix(x) if way == "csr" else x).write_h5ad(tmp_path / "a.h5ad")
    code = (
        "import os, pathlib, sys, numpy as np\n"
        "from runwright.domains.perturbation.rows import open_rows\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "def was_read():\n"
        "    with open('/proc/self/io') as file:\n"
        "        return int(next(line for line in file if 'read_bytes' in line).split()[1])\n"
        "for asks in (False, True):\n"
        "    rows = open_rows(path, 'X', None, path.parent, asks=asks)\n"
        "    with path.open('rb') as file:\n"
        "        os.fdatasync(file.fileno())\n"
        "        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)\n"
        "    before = was_read()\n"
        "    rows.read(np.arange(0, 4000, 100))\n"
        "    print(was_read() - before)\n"
        "    del rows\n"
    )
    done = run_python("-c", code, tmp_path / "a.h5ad")
    assert done.returncode == 0, done.stderr
    without, asked = map(int, done.stdout.split())
    if not without:
        pytest.skip("this disk is in memory")
    wanted = 40 * 1500 * (8 if way == "csr" else 4)
    assert wanted <= asked < 4 * wanted < without
