"""Columns and genes of h5ad files, as the anndata package writes them."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from domains.perturbation.cells import random_cells
from runwright import UserError
from runwright.domains.perturbation import h5ad


@pytest.fixture
def cells() -> Any:
    made = random_cells(seed=0)
    made.obs["plate"] = np.arange(len(made)) % 3
    made.obs["text"] = [f"t{i % 2}" for i in range(len(made))]
    made.obs["number"] = np.arange(len(made)) / 2 % 2
    made.obs["truth"] = np.arange(len(made)) % 2 == 0
    made.obs["nullable"] = pd.array(np.arange(len(made)) % 3, dtype="Int64")
    made.obs["nullable_truth"] = pd.array(np.arange(len(made)) % 2 == 0, dtype="boolean")
    return made


@pytest.mark.parametrize(
    "name",
    [
        *("cell_type", "target_gene", "batch_var", "plate", "text"),
        *("number", "truth", "nullable", "nullable_truth"),
    ],
)
def test_a_column_is_read_whatever_its_type(tmp_path: Path, cells: Any, name: str) -> None:
    cells.write_h5ad(tmp_path / "a.h5ad")
    with h5ad.opened(tmp_path / "a.h5ad") as file:
        column = h5ad.read_column(file, name, "dm.x")
    assert list(column.names) == sorted(set(map(str, cells.obs[name])))
    assert [column.names[code] for code in column.codes] == [str(one) for one in cells.obs[name]]


def test_categories_without_cells_are_not_there_and_the_rest_are_sorted(tmp_path: Path) -> None:
    cells = random_cells(seed=0)
    labels = ["z", "a"] * (len(cells) // 2)
    cells.obs["mark"] = pd.Categorical(labels, categories=["z", "unused", "a"])
    cells.write_h5ad(tmp_path / "a.h5ad")
    with h5ad.opened(tmp_path / "a.h5ad") as file:
        column = h5ad.read_column(file, "mark", "dm.x")
    assert column.names == ("a", "z")
    assert column.codes.tolist()[:2] == [1, 0]


def test_the_layout_before_anndata_0_7(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "old.h5ad", "w") as file:
        obs = file.create_group("obs")
        obs.attrs["_index"] = "index"
        obs["index"] = np.array(["c0", "c1", "c2"], dtype="S2")
        obs["kind"] = np.array([1, 0, 1], dtype="i1")
        obs["__categories/kind"] = np.array(["x", "y"], dtype="S1")
        file.create_group("var").attrs["_index"] = "_index"
    with h5ad.opened(tmp_path / "old.h5ad") as file:
        column = h5ad.read_column(file, "kind", "dm.x")
        assert h5ad.cell_names(file).tolist() == ["c0", "c1", "c2"]
    assert (column.names, column.codes.tolist()) == (("x", "y"), [1, 0, 1])


WITHOUT_A_VALUE: list[Any] = [
    [None, *["1"] * 55],
    ["", *["1"] * 55],
    [np.nan, *[1.0] * 55],
    pd.array([None, *[1] * 55], dtype="Int64"),
    pd.array([None, *[True] * 55], dtype="boolean"),
    pd.Categorical([None] * 56, categories=["a"]),
]


@pytest.mark.parametrize("values", WITHOUT_A_VALUE)
def test_cells_without_a_value_are_counted_whatever_the_type(
    tmp_path: Path, cells: Any, values: Any
) -> None:
    cells.obs["mark"] = values
    cells.write_h5ad(tmp_path / "a.h5ad")
    with (
        h5ad.opened(tmp_path / "a.h5ad") as file,
        pytest.raises(UserError, match=r"(1|56) of 56 cells have no value in obs column 'mark' \("),
    ):
        h5ad.read_column(file, "mark", "dm.x")


def test_texts_are_read_in_parts(
    tmp_path: Path, cells: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(h5ad, "_CELLS_AT_ONCE", 5)
    cells.write_h5ad(tmp_path / "a.h5ad")
    texts = [f"t{i % 7 * i % 11}" for i in range(len(cells))]
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        del file["obs/text"]
        file["obs/text"] = texts
    with h5ad.opened(tmp_path / "a.h5ad") as file:
        column = h5ad.read_column(file, "text", "dm.x")
    assert [column.names[code] for code in column.codes] == texts
    assert list(column.names) == sorted(set(texts))


@pytest.mark.parametrize("kind", ["boolean", "category", "int"])
def test_marks_of_genes_are_read_whatever_their_type(tmp_path: Path, cells: Any, kind: str) -> None:
    for name, is_marked in (("some", np.arange(12) > 9), ("all", np.arange(12) >= 0)):
        marks: Any = pd.Series(is_marked, index=cells.var_names)
        cells.var["highly_variable"] = (marks.astype(str) if kind == "category" else marks).astype(
            kind
        )
        cells.write_h5ad(tmp_path / f"{name}.h5ad")
        with h5ad.opened(tmp_path / f"{name}.h5ad") as file:
            assert h5ad.highly_variable(file).tolist() == np.flatnonzero(is_marked).tolist()


def test_highly_variable_genes_by_a_column_or_by_their_names(tmp_path: Path, cells: Any) -> None:
    cells.write_h5ad(tmp_path / "a.h5ad")
    del cells.var["highly_variable"]
    cells.write_h5ad(tmp_path / "none.h5ad")
    cells.uns["hvg_names"] = np.array(["gene4", "gene1"])
    cells.write_h5ad(tmp_path / "names.h5ad")
    cells.uns["hvg_names"] = np.array(["gene4", "geneX"])
    cells.write_h5ad(tmp_path / "unknown.h5ad")
    with h5ad.opened(tmp_path / "a.h5ad") as file:
        assert h5ad.highly_variable(file).tolist() == [0, 3, 6, 9]
    with h5ad.opened(tmp_path / "names.h5ad") as file:
        assert h5ad.highly_variable(file).tolist() == [1, 4]
    with (
        h5ad.opened(tmp_path / "none.h5ad") as file,
        pytest.raises(UserError, match=r"does not say which genes are highly variable"),
    ):
        h5ad.highly_variable(file)
    with (
        h5ad.opened(tmp_path / "unknown.h5ad") as file,
        pytest.raises(UserError, match=r"uns/hvg_names has 1 genes that var does not have: geneX"),
    ):
        h5ad.highly_variable(file)


def test_mistakes_are_named(tmp_path: Path, cells: Any) -> None:
    labels = cells.obs["text"].tolist()
    cells.obs["holes"] = pd.Categorical([None, *labels[1:]])
    cells.write_h5ad(tmp_path / "a.h5ad")
    (tmp_path / "text.h5ad").write_text("no h5ad")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    cells.write_h5ad(tmp_path / "tables.h5ad")
    with h5py.File(tmp_path / "tables.h5ad", "r+") as file:
        file["obs/strange/a"] = 1
        file["obs/strange"].attrs["encoding-type"] = "raggedness"
    with (
        h5ad.opened(tmp_path / "tables.h5ad") as file,
        pytest.raises(UserError, match=r"column 'strange' \(dm.x\) is stored as 'raggedness', whi"),
    ):
        h5ad.read_column(file, "strange", "dm.x")
    with h5py.File(tmp_path / "tables.h5ad", "r+") as file:
        del file["obs"]
        file["obs"] = np.zeros(56, dtype=[("index", "S5"), ("target_gene", "S5")])
    with pytest.raises(UserError, match=r"before 0.7, which kept obs and var in tables. Write it"):
        h5ad.opened(tmp_path / "tables.h5ad").__enter__()
    with pytest.raises(UserError, match=r"text.h5ad cannot be read as an h5ad file"):
        h5ad.opened(tmp_path / "text.h5ad").__enter__()
    with pytest.raises(UserError, match=r"has no obs and no var, so it is not.*It has x\."):
        h5ad.opened(tmp_path / "other.h5").__enter__()
    with h5ad.opened(tmp_path / "a.h5ad") as file:
        with pytest.raises(UserError, match=r"no column 'cell_typ' \(dm.x\). Did you mean 'cell_t"):
            h5ad.read_column(file, "cell_typ", "dm.x")
        with pytest.raises(UserError, match=r"1 of 56 cells have no value in obs column 'holes'"):
            h5ad.read_column(file, "holes", "dm.x")
