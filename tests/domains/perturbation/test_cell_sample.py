"""The cells that are drawn: some of every cell type, the same ones every time, and no padding."""

from pathlib import Path

import attrs
import numpy as np
import pytest
import torch

from domains.perturbation.effect_cells import CELL_TYPES, groups
from domains.perturbation.test_effect_measures import DIMS, Process, batches
from runwright.domains.perturbation import cell_sample
from runwright.domains.perturbation.batch import CellSets, Prediction
from runwright.domains.perturbation.cell_sample import CellSample


def sample(given: list[tuple[Prediction, CellSets]]) -> CellSample:
    made = CellSample(DIMS)
    for outputs, sets in given:
        made.update(outputs, sets)
    return made


def test_they_are_the_cells_of_perturbed_sets_without_the_padding() -> None:
    found = sample(batches(32)).cells()
    assert [one.name for one in found] == CELL_TYPES
    for number, one in enumerate(found):
        mine = [group for group in groups() if group.cell_type == number and group.perturbation]
        for kind in ("real", "predicted"):
            expected = np.concatenate([getattr(group, kind)[:8] for group in mine])
            np.testing.assert_array_equal(getattr(one, kind), expected)
        assert (one.control == 1).all()  # what `batch_of` takes for a control


def test_they_stay_few_and_are_of_the_whole_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_sample, "_MOST_CELLS", 48)
    found = sample(batches(8)).cells()
    assert [one.name for one in found] == CELL_TYPES
    assert 10 < sum(len(one.real) for one in found) <= 48


def test_several_processes_draw_what_all_of_them_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    given = batches(8)
    monkeypatch.setattr(Process, "given", [])
    sample(given[6:]).gather_drawn(Process(size=2))
    monkeypatch.setattr(Process, "given", [Process.sent.pop()])
    both = sample(given[:6])
    both.gather_drawn(Process(size=2))
    for mine, one in zip(both.cells(), sample(given).cells(), strict=True):
        np.testing.assert_array_equal(mine.real, one.real)


def test_several_processes_exchange_nothing_where_nothing_is_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Process, "sent", [])
    sample(batches(8)).all_reduce(Process(size=2))
    assert Process.sent == []


def test_they_are_drawn_where_there_are_some(tmp_path: Path) -> None:
    sample(batches(8)).draw(tmp_path, "test")
    sample([]).draw(tmp_path, "val")
    controls = [
        (outputs, attrs.evolve(sets, perturbation_index=torch.tensor([DIMS.control])))
        for outputs, sets in batches(8)
    ]
    sample(controls).draw(tmp_path, "zeroshot")
    assert [path.name for path in tmp_path.iterdir()] == ["cells_test.png"]
    assert CellSample(DIMS).compute() == {}
