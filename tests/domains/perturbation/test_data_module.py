"""The data module: what it publishes, what later stages read, and what it refuses."""

from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch

from domains.perturbation.cells import CONTROL, GENES, options, random_cells, write_project
from runwright import Data, Runtime, UserError, compose
from runwright.domains.perturbation import cell_files
from runwright.domains.perturbation.batch import CellSets
from runwright.domains.perturbation.data_module import PerturbationDataModule
from runwright.domains.perturbation.dims import PerturbationDims

CPU = torch.device("cpu")


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return write_project(tmp_path / "data", a=random_cells(seed=0), b=random_cells(seed=1))


def built(
    toml: Path, run_dir: Path, *, trains: bool = True, **more: Any
) -> Data[PerturbationDims, CellSets]:
    runtime = Runtime(device=CPU, seed=7, run_dir=run_dir, trains=trains)
    return PerturbationDataModule(**options(toml, **more)).build(runtime)


@pytest.mark.parametrize(
    ("space", "embed_key", "sizes", "genes"),
    [
        ("all", None, (12, None), GENES),
        ("gene", None, (4, None), GENES[::3]),
        ("embedding", "X_pca", (5, None), []),
        ("all", "X_pca", (5, 12), GENES),
        ("gene", "X_pca", (5, 4), GENES[::3]),
    ],
)
def test_what_is_predicted(
    toml: Path, space: str, embed_key: str | None, sizes: tuple[int, int | None], genes: list[str]
) -> None:
    features, decoded = sizes
    data = built(toml, toml.parent / "run", output_space=space, embed_key=embed_key)
    dims = data.dims
    assert (dims.features, dims.decoded_genes) == (features, decoded)
    assert dims.gene_names == tuple(genes)
    assert dims.is_expression == (embed_key is None)
    batch = next(iter(data.train.batches(0)))
    assert batch.cells.shape == batch.basal.shape == (3, 4, features)
    assert batch.perturbation.shape == (3, dims.perturbation_features) == (3, 4)
    assert (None if batch.genes is None else batch.genes.shape[2]) == decoded


def test_another_stage_numbers_as_the_training_did(tmp_path: Path) -> None:
    trained = write_project(tmp_path / "data", a=random_cells(seed=0))
    built(trained, tmp_path / "run")
    fewer = random_cells(seed=2, cell_types=("U", "V"))
    fewer = fewer[fewer.obs["target_gene"] != "A"].copy()
    new = write_project(tmp_path / "new", c=fewer[:, ::-1].copy())
    data = built(new, tmp_path / "run", trains=False)
    assert data.dims.cell_type_names == ("T", "U", "V")
    assert data.dims.perturbation_names == ("A", "B", "C", CONTROL)
    x = fewer.X.toarray()
    for batch in data.train.batches(0):
        expected = torch.from_numpy(x)[batch.cell]  # in the order of the training's genes
        assert torch.equal(batch.cells, expected)
        types = fewer.obs["cell_type"].to_numpy()[batch.cell[:, 0]]
        assert [data.dims.cell_type_names[i] for i in batch.cell_type] == types.tolist()


def test_a_perturbation_that_the_training_did_not_know_is_refused(
    tmp_path: Path, toml: Path
) -> None:
    built(toml, tmp_path / "run")
    cells = random_cells(seed=2)
    cells.obs["target_gene"] = cells.obs["target_gene"].cat.rename_categories({"A": "Z"})
    new = write_project(tmp_path / "new", c=cells)
    message = r"trained without 1 of the perturbations of .*c.h5ad: Z. One-hot vectors know only"
    with pytest.raises(UserError, match=message) as told:
        built(new, tmp_path / "run", trains=False)
    assert "Allowed: A, B, C, non-targeting. Leave the cells of others out" in str(told.value)


def test_an_embedding_of_another_length_than_that_of_the_training_is_refused(
    tmp_path: Path, toml: Path
) -> None:
    chosen: dict[str, Any] = {"embed_key": "X_pca", "output_space": "embedding"}
    built(toml, tmp_path / "run", **chosen)
    other = random_cells(seed=2)
    other.obsm["X_pca"] = other.obsm["X_pca"][:, :3]
    new = write_project(tmp_path / "new", a=other)
    message = r"a.h5ad: the embedding obsm/X_pca has 3 values a cell; that of the training had 5"
    with pytest.raises(UserError, match=message):
        built(new, tmp_path / "run", trains=False, **chosen)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("dm.toml_config_path=no.toml", r"dm.toml_config_path=no.toml does not exist. It says whi"),
        ("dm.perturbation_features_file=no.pt", r"dm.perturbation_features_file=no.pt does not e"),
    ],
)
def test_files_that_are_not_there_are_told_before_a_run_directory_is_made(
    tmp_path: Path, toml: Path, option: str, said: str
) -> None:
    named = [] if option.startswith("dm.toml") else [f"dm.toml_config_path={toml}"]
    columns = ["dm.pert_col=target_gene", "dm.batch_col=batch_var", f"dm.control_pert={CONTROL}"]
    chosen = ["dm=perturbation", "model=perturb_mean", "gpu=-1", *columns, *named, option]
    for stage in ("fit", "test"):
        weights = [f"checkpoint.load={tmp_path}"] if stage == "test" else []
        with pytest.raises(UserError, match=said):
            compose([*chosen, f"stage={stage}", *weights]).run(tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_a_file_that_a_data_set_has_by_two_names_is_refused(tmp_path: Path) -> None:
    toml = write_project(tmp_path / "data", a=random_cells(seed=0))
    (tmp_path / "data" / "again.h5ad").symlink_to("a.h5ad")
    toml.write_text('[datasets]\na = "*.h5ad"\n[training]\na = "train"\n')
    with pytest.raises(UserError, match=r"again.h5ad is the same file as .*a.h5ad, so its cells w"):
        built(toml, tmp_path / "run")


def test_files_need_the_same_genes(tmp_path: Path) -> None:
    other = random_cells(seed=1)[:, 1:].copy()
    toml = write_project(tmp_path, a=random_cells(seed=0), b=other)
    with pytest.raises(UserError, match=r"b.h5ad lacks 1 of the 12 genes: gene0. It has gene1, "):
        built(toml, tmp_path)


def test_genes_that_only_another_file_has_are_left_out_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fewer = random_cells(seed=0)[:, :10].copy()
    toml = write_project(tmp_path, a=fewer, b=random_cells(seed=1)[:, ::-1].copy())
    assert built(toml, tmp_path).dims.gene_names == tuple(GENES[:10])
    assert "b.h5ad has 2 genes that the first file of the training lacks; they are" in caplog.text


def test_other_genes_that_are_highly_variable_in_another_file_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = random_cells(seed=1)
    other.var["highly_variable"] = [name in GENES[:6] for name in GENES]
    silent = random_cells(seed=2)
    del silent.var["highly_variable"]
    toml = write_project(tmp_path, a=random_cells(seed=0), b=other, c=silent)
    assert built(toml, tmp_path, output_space="gene").dims.gene_names == tuple(GENES[::3])
    assert "b.h5ad marks other genes as highly variable (6) than the first" in caplog.text
    assert "(4, of which 2 are the same); those of the first file are used" in caplog.text
    assert "c.h5ad" not in caplog.text


def test_genes_of_the_same_name_are_refused_only_where_one_of_them_is_wanted(
    tmp_path: Path,
) -> None:
    with pytest.warns(UserWarning, match="not unique"):
        cells = random_cells(seed=0, genes=["g", "g", *GENES[2:]])
    toml = write_project(tmp_path, a=cells)
    assert built(toml, tmp_path / "all").dims.features == 12
    with pytest.raises(UserError, match=r"several genes called g, of which only one is wanted. Ma"):
        built(toml, tmp_path / "some", output_space="gene")


def test_cells_that_are_used_for_nothing_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    toml = write_project(tmp_path, a=random_cells(seed=0), b=random_cells(seed=1))
    toml.write_text(toml.read_text().replace('\nb = "train"', '\n[zeroshot]\n"b.U" = "val"'))
    built(toml, tmp_path)
    assert (
        "cells.toml: 21 perturbed cells are not used, as they are not held out and [training] does "
        "not name their data set: b."
    ) in caplog.text


@pytest.mark.parametrize(("share", "asks"), [(0.5, False), (0.0, True)])
def test_only_files_that_do_not_stay_in_memory_are_asked_for_ahead(
    tmp_path: Path, toml: Path, monkeypatch: pytest.MonkeyPatch, share: float, asks: bool
) -> None:
    monkeypatch.setattr(cell_files, "_KEPT_IN_MEMORY", share)
    split: Any = built(toml, tmp_path).train
    assert [rows.asks for rows in split.source.rows] == [asks, asks]


def test_something_must_be_left_to_train_on(tmp_path: Path) -> None:
    cells = random_cells(seed=0)
    toml = write_project(tmp_path, '[zeroshot]\n"a.T" = "val"\n"a.U" = "test"', a=cells)
    with pytest.raises(UserError, match=r"no cells to train on: of what \[training\] names \(a\)"):
        built(toml, tmp_path)
    toml = write_project(tmp_path / "none", a=cells[:0].copy())
    with pytest.raises(UserError, match=r"a.h5ad has no cells. Leave it out of \[datasets\] in .*"):
        built(toml, tmp_path)


@pytest.mark.parametrize("are_used", [False, True])
def test_the_controls_of_a_cell_type_that_is_held_out_are_trained_on_if_wanted(
    tmp_path: Path, are_used: bool
) -> None:
    toml = write_project(tmp_path, '[zeroshot]\n"a.U" = "val"', a=random_cells(seed=0))
    data = built(toml, tmp_path, zeroshot_controls=are_used, batch_size=1)
    names = data.dims.cell_type_names, data.dims.perturbation_names
    seen = {
        (names[0][int(batch.cell_type)], names[1][int(batch.perturbation_index)])
        for batch in data.train.batches(0)
    }
    wanted = {("T", one) for one in ("A", "B", "C", CONTROL)}
    assert seen == wanted | ({("U", CONTROL)} if are_used else set())


def test_without_anything_held_out_nothing_is_validated_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    toml = write_project(tmp_path, '[zeroshot]\n"a.U"="test"', a=random_cells(seed=0))
    data = built(toml, tmp_path)
    assert data.val is None
    assert data.test is not None
    assert "holds out nothing for validation, so nothing is validated; the test" in caplog.text


def test_fewer_cells_can_be_taken(tmp_path: Path) -> None:
    toml = write_project(tmp_path, '[zeroshot]\n"a.U"="val"', a=random_cells(seed=0, per_group=8))
    data = built(toml, tmp_path, downsample_cells=3, val_subsample_fraction=0.5)
    seen = {cell for batch in data.train.batches(0) for cell in batch.cell.flatten().tolist()}
    assert data.val is not None
    assert len(seen) <= 4 * 3
    masks = [batch.mask for batch in data.val.batches(0)]
    assert sum(int(mask.sum()) for mask in masks if mask is not None) == 4 * 4


def test_so_many_cells_at_most_are_those_of_all_batches_and_files_together(tmp_path: Path) -> None:
    files = {name: random_cells(seed=seed, per_group=9) for seed, name in enumerate("ab")}
    toml = write_project(tmp_path, **files)
    chosen: dict[str, Any] = {"basal_mapping_strategy": "batch", "downsample_cells": 5}
    data = built(toml, tmp_path, batch_size=1, cell_set_len=1, **chosen)
    of_cells = {
        cell: (int(batch.cell_type), int(batch.perturbation_index))
        for batch in data.train.batches(0)
        for cell in batch.cell.flatten().tolist()
    }
    assert set(Counter(of_cells.values()).values()) == {5}
    assert len({cell < 72 for cell in of_cells}) == 2  # of both files, 72 cells each


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"output_space": "embedding"}, "`embed_key` must name an embedding"),
        ({"pert_rep": "features"}, "`perturbation_features_file` must be given"),
        (
            {"pert_rep": "onehot", "perturbation_features_file": "x.pt"},
            "must be null with `pert_re",
        ),
        ({"batch_col": None, "basal_mapping_strategy": "batch"}, "`batch_col` must name a column"),
        ({"allow_missing_features": True}, "`allow_missing_features` is for a `perturbation_feat"),
    ],
)
def test_options_that_contradict_each_other(chosen: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said.replace("`", "")):
        PerturbationDataModule(**options(Path("cells.toml"), **chosen))


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"pert_col": "gene"}, r"obs has no column 'gene' \(dm.pert_col\)"),
        ({"batch_col": "gem_group"}, r"'gem_group' \(dm.batch_col, null if there are no batches\)"),
        ({"control_pert": "DMSO"}, r"has no cells of the control 'DMSO' \(dm.control_pert\)"),
        ({"embed_key": "X_state"}, "has no embedding 'X_state' in obsm"),
    ],
)
def test_what_the_files_do_not_have_is_named(
    tmp_path: Path, toml: Path, chosen: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        built(toml, tmp_path, **chosen)


def test_dims_that_differ_in_names_only_are_equal(tmp_path: Path, toml: Path) -> None:
    dims = built(toml, tmp_path).dims
    assert dims == attrs.evolve(dims, gene_names=(), cell_type_names=("other",))
