"""The controls of each group of cells."""

from pathlib import Path

import numpy as np
import pytest
import torch

from domains.perturbation.cells import CONTROL, random_cells, write_project
from domains.perturbation.test_cell_sets import built, expression
from runwright import UserError


def test_with_batches_the_controls_are_of_the_batch(tmp_path: Path) -> None:
    cells = {"a": random_cells(seed=5, per_group=20)}
    toml = write_project(tmp_path, **cells)
    data = built(toml, tmp_path, basal_mapping_strategy="batch")
    x, labels = expression(cells)
    for batch in data.train.batches(0):
        for place in range(len(batch)):
            (of,) = {labels[cell] for cell in batch.cell[place].tolist()}
            file, cell_type, _, number = of
            assert {data.dims.batch_names[b] for b in batch.batch[place]} == {number}
            pool = [i for i, o in enumerate(labels) if o == (file, cell_type, CONTROL, number)]
            assert pool
            for control in batch.basal[place]:
                assert any(torch.equal(control, x[i]) for i in pool)


def test_a_group_without_controls_of_its_batch_takes_those_of_its_cell_type_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cells = random_cells(seed=0)
    is_control = cells.obs["target_gene"] == CONTROL
    batch = np.where(is_control, "b0", cells.obs["batch_var"].astype(str))
    cells.obs["batch_var"] = batch
    caplog.set_level("INFO")
    data = built(write_project(tmp_path, a=cells), tmp_path, basal_mapping_strategy="batch")
    assert list(data.train.batches(0))
    assert "6 of 14 groups of cells have no controls of their batch" in caplog.text


def test_there_must_be_controls_for_every_cell_type(tmp_path: Path) -> None:
    cells = random_cells(seed=0)
    lacks = (cells.obs["cell_type"] == "U") & (cells.obs["target_gene"] == CONTROL)
    toml = write_project(tmp_path, a=cells[~lacks].copy())
    with pytest.raises(UserError, match=r"no control cells \(dm.control_pert=.*'U' in .*a.h5ad"):
        built(toml, tmp_path)
