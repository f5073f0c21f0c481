"""Sets of cells: what is in them, in which order, and that they are always the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from domains.perturbation.cells import CONTROL, options, random_cells, write_project
from runwright import Data, Runtime
from runwright.data import workers
from runwright.domains.perturbation import cell_sets
from runwright.domains.perturbation.batch import CellSets
from runwright.domains.perturbation.cell_sets import CellSetSplit
from runwright.domains.perturbation.data_module import PerturbationDataModule
from runwright.domains.perturbation.dims import PerturbationDims
from runwright.training.splits import part_of

CPU = torch.device("cpu")
TOML = '[zeroshot]\n"b.U" = "val"\n[fewshot."a.T"]\nval = ["A"]\ntest = ["B"]\n'


@pytest.fixture(scope="module")
def cells() -> dict[str, Any]:
    return {"a": random_cells(seed=0, per_group=9), "b": random_cells(seed=1, per_group=5)}


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory, cells: dict[str, Any]) -> Path:
    return write_project(tmp_path_factory.mktemp("cells"), TOML, **cells)


def built(toml: Path, run_dir: Path, **more: Any) -> Data[PerturbationDims, CellSets]:
    runtime = Runtime(device=CPU, seed=7, run_dir=run_dir)
    return PerturbationDataModule(**options(toml, **more)).build(runtime)


def train_split(data: Data[PerturbationDims, CellSets]) -> CellSetSplit:
    assert isinstance(data.train, CellSetSplit)
    return data.train


def expression(cells: dict[str, Any]) -> Any:
    """(N, genes) and what the cells are, numbered through both files."""
    x = np.concatenate([one.X.toarray() for one in cells.values()])
    labels = [
        (name, *row)
        for name, one in cells.items()
        for row in zip(
            one.obs["cell_type"], one.obs["target_gene"], one.obs["batch_var"], strict=True
        )
    ]
    return torch.from_numpy(x), labels


def as_lists(batches: Iterator[CellSets]) -> list[list[Any]]:
    return [[b.cell.tolist(), b.basal.tolist(), b.cells.tolist()] for b in batches]


def test_every_set_is_of_one_group_and_its_controls_are_of_the_same_cells(
    tmp_path: Path, toml: Path, cells: dict[str, Any]
) -> None:
    data = built(toml, tmp_path)
    x, labels = expression(cells)
    assert data.val is not None
    for split in (data.train, data.val, data.also["zeroshot"]):
        for batch in split.batches(0):
            for place in range(len(batch)):
                of = {labels[cell][:3] for cell in batch.cell[place].tolist()}
                assert len(of) == 1
                file, cell_type, perturbation = of.pop()
                named = data.dims.cell_type_names[batch.cell_type[place]]
                assert named == f"{file}.{cell_type}"  # both files have it
                assert data.dims.perturbation_names[batch.perturbation_index[place]] == perturbation
                mask = torch.ones(4, dtype=torch.bool) if batch.mask is None else batch.mask[place]
                read = batch.cells[place][mask]
                assert torch.equal(read, x[batch.cell[place]][mask])
                pool = [i for i, one in enumerate(labels) if one[:3] == (file, cell_type, CONTROL)]
                for control in batch.basal[place]:
                    assert any(torch.equal(control, x[i]) for i in pool)


def test_genes_of_controls_are_read_where_effects_on_them_have_no_other_control(
    tmp_path: Path, toml: Path, cells: dict[str, Any]
) -> None:
    decoded = {"embed_key": "X_pca", "output_space": "all"}
    with_controls = built(toml, tmp_path, **decoded)
    data = built(toml, tmp_path, **decoded, should_yield_control_cells=False)
    x, labels = expression(cells)
    assert data.val is not None
    assert with_controls.val is not None
    for batch in data.val.batches(0):
        assert batch.basal_genes is not None
        for place, (genes, basal) in enumerate(zip(batch.basal_genes, batch.basal, strict=True)):
            of = labels[int(batch.cell[place, 0])]
            pool = [i for i, one in enumerate(labels) if one[:3] == (*of[:2], CONTROL)]
            for mine, embedded in zip(genes, basal, strict=True):
                (found,) = [i for i in pool if torch.equal(mine, x[i])]
                embedding = np.concatenate([one.obsm["X_pca"] for one in cells.values()])[found]
                np.testing.assert_array_equal(embedded, embedding)
    for split in (data.train, with_controls.val):
        assert all(batch.basal_genes is None for batch in split.batches(0))


def test_an_epoch_of_the_training_has_every_cell_and_the_next_one_other_sets(
    tmp_path: Path, toml: Path, cells: dict[str, Any]
) -> None:
    data = built(toml, tmp_path, batch_size=1)
    _, labels = expression(cells)
    held_out = {("b", "U", p) for p in ("non-targeting", "A", "B", "C")}
    held_out |= {("a", "T", "A"), ("a", "T", "B")}
    expected = {i for i, label in enumerate(labels) if label[:3] not in held_out}
    epochs = [[batch.cell[0].tolist() for batch in data.train.batches(e)] for e in range(2)]
    for sets in epochs:
        assert {cell for one in sets for cell in one} == expected
    assert sorted(map(sorted, epochs[0])) != sorted(map(sorted, epochs[1]))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_training_split_has_each_cell_once_if_wanted(
    tmp_path: Path, toml: Path, num_workers: int
) -> None:
    train = train_split(built(toml, tmp_path, num_workers=num_workers))
    before = as_lists(train.batches(0))
    once = train.each_once()
    cells = [b.cell[b.mask] for b in once.batches(0) if b.mask is not None]
    assert sorted(torch.cat(cells).tolist()) == sorted(train.groups.cells.tolist())
    assert as_lists(once.batches(1)) == as_lists(once.batches(0))
    assert as_lists(train.batches(0)) == before


def test_a_split_that_is_measured_has_each_cell_once_and_never_changes(
    tmp_path: Path, toml: Path, cells: dict[str, Any]
) -> None:
    data = built(toml, tmp_path)
    again = built(toml, tmp_path, num_workers=2)
    _, labels = expression(cells)
    split = data.also["zeroshot"]
    seen: list[int] = []
    for batch in split.batches(0):
        assert batch.mask is not None
        seen += batch.cell[batch.mask].tolist()
    wanted = [i for i, (file, kind, *_) in enumerate(labels) if (file, kind) == ("b", "U")]
    assert sorted(seen) == wanted  # the controls are what the others are measured against
    without = built(toml, tmp_path, should_yield_control_cells=False).also["zeroshot"]
    masked = [batch.cell[batch.mask] for batch in without.batches(0) if batch.mask is not None]
    assert sorted(torch.cat(masked).tolist()) == [i for i in wanted if labels[i][2] != CONTROL]
    assert as_lists(split.batches(0)) == as_lists(again.also["zeroshot"].batches(3))


def test_batches_are_the_same_where_workers_are_not_forked(
    tmp_path: Path, toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = as_lists(built(toml, tmp_path).train.batches(0))
    monkeypatch.setattr(workers, "_CONTEXT", torch.multiprocessing.get_context("spawn"))  # macOS
    assert as_lists(built(toml, tmp_path, num_workers=1).train.batches(0)) == wanted


def test_batches_are_the_same_for_any_number_of_workers_and_wherever_they_start(
    tmp_path: Path, toml: Path
) -> None:
    expected = as_lists(built(toml, tmp_path).train.batches(1))
    for num_workers in (0, 2):
        train = built(toml, tmp_path, num_workers=num_workers).train
        assert as_lists(train.batches(1, start=2)) == expected[2:]
        assert as_lists(train.batches(1)) == expected


def test_no_more_orders_are_kept_than_fit_and_others_are_drawn_again(
    tmp_path: Path, toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = as_lists(built(toml, tmp_path).train.batches(0))
    monkeypatch.setattr(cell_sets, "_ORDERED_CELLS", 20)
    train = train_split(built(toml, tmp_path))
    assert as_lists(train.batches(0)) == expected
    assert 0 < sum(map(len, train.orders.values())) <= 20


def test_processes_share_the_sets_of_a_batch(tmp_path: Path, toml: Path) -> None:
    trains = [built(toml, tmp_path, batch_size=4).train for _ in range(3)]
    whole = as_lists(trains[0].batches(0))
    shares = [as_lists(part_of(trains[1 + rank], rank, 2).batches(0)) for rank in range(2)]
    joined = [[a + b for a, b in zip(*parts, strict=True)] for parts in zip(*shares, strict=True)]
    assert joined == whole


def test_controls_can_be_predicted_from_themselves_or_left_out(tmp_path: Path, toml: Path) -> None:
    themselves = built(toml, tmp_path, map_controls=False)
    control = themselves.dims.control
    found = 0
    for batch in themselves.train.batches(0):
        is_control = batch.perturbation_index == control
        assert torch.equal(batch.basal[is_control], batch.cells[is_control])
        found += int(is_control.sum())
    assert found
    without = built(toml, tmp_path, should_yield_control_cells=False)
    for batch in without.train.batches(0):
        assert control not in batch.perturbation_index


def test_a_mean_of_several_controls(tmp_path: Path, toml: Path, cells: dict[str, Any]) -> None:
    x, labels = expression(cells)
    data = built(toml, tmp_path, n_basal_samples=5000, batch_size=1)
    batch = next(iter(data.train.batches(0)))
    file, cell_type, *_ = labels[int(batch.cell[0, 0])]
    pool = [i for i, one in enumerate(labels) if one[:3] == (file, cell_type, CONTROL)]
    assert torch.allclose(batch.basal[0, 0], x[pool].mean(0), atol=0.03)
