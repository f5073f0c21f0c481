"""The measures of predicted effects: those of cell-eval, however the cells arrive."""

import importlib.util
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs
import numpy as np
import pytest
import torch

from domains.perturbation.effect_cells import (
    CELL_TYPES,
    CONTROL,
    GENES,
    PERTURBATIONS,
    RECORDED,
    Group,
    groups,
)
from runwright import UserError, World
from runwright.domains.perturbation import effect_measures
from runwright.domains.perturbation.batch import CellSets, Prediction
from runwright.domains.perturbation.dims import PerturbationDims
from runwright.domains.perturbation.effect_measures import (
    EffectMeasures,
    table_of_means,
)
from runwright.domains.perturbation.effect_table import HIGHER_IS_BETTER, EffectTable
from runwright.domains.perturbation.set_prediction import SetPredictionFactory

CPU = torch.device("cpu")
DIMS = PerturbationDims(
    features=len(GENES),
    perturbation_features=1,
    cell_type_names=tuple(CELL_TYPES),
    perturbation_names=tuple(PERTURBATIONS),
    gene_names=tuple(GENES),
    control=PERTURBATIONS.index(CONTROL),
)


def batch_of(group: Group, rows: slice, size: int) -> tuple[Prediction, CellSets]:
    """A batch of one set of `size` cells, filled up with cells that must not count."""
    real, predicted = (torch.from_numpy(cells[rows]) for cells in (group.real, group.predicted))
    filled = size - len(real)
    rubbish = torch.full((filled, real.shape[1]), math.nan)
    mask = torch.tensor([[True] * len(real) + [False] * filled])
    sets = CellSets(
        basal=torch.cat([real * 0 + 1, rubbish])[None],
        cells=torch.cat([real, rubbish])[None],
        perturbation=torch.zeros(1, 1),
        perturbation_index=torch.tensor([group.perturbation]),
        cell_type=torch.tensor([group.cell_type]),
        batch=torch.zeros(1, size, dtype=torch.int64),
        cell=torch.zeros(1, size, dtype=torch.int64),
        mask=mask if filled else None,
    )
    return Prediction(cells=torch.cat([predicted, rubbish])[None]), sets


def batches(size: int) -> list[tuple[Prediction, CellSets]]:
    """Sets of at most `size` cells of every group."""
    return [
        batch_of(group, slice(start, start + size), size)
        for group in groups()
        for start in range(0, len(group.real), size)
    ]


def measured(
    given: Sequence[tuple[Prediction, CellSets]], *, by_cell_eval: bool = False
) -> EffectMeasures:
    measures = EffectMeasures(DIMS, CPU, by_cell_eval=by_cell_eval)
    for outputs, batch in given:
        measures.update(outputs, batch)
    return measures


def of_pairs(table: EffectTable) -> dict[tuple[str, str], dict[str, float]]:
    return {
        (CELL_TYPES[cell_type], PERTURBATIONS[perturbation]): {
            name: float(column[row]) for name, column in table.measures.items()
        }
        for row, (cell_type, perturbation) in enumerate(
            zip(table.cell_type, table.perturbation, strict=True)
        )
    }


def agrees_with(said: dict[str, Any], measures: EffectMeasures) -> None:
    table = measures.table()
    found = of_pairs(table)
    expected = {
        (cell_type, perturbation): values
        for cell_type, of_type in said.items()
        for perturbation, values in of_type["perturbations"].items()
    }
    assert found.keys() == expected.keys()
    for pair, values in expected.items():
        assert found[pair] == pytest.approx(values, abs=1e-6), pair
    for number, cell_type in enumerate(CELL_TYPES):
        means = said[cell_type]["means"]
        assert table.of_cell_types()[number] == pytest.approx(means, abs=1e-6)
    over_types = {n: np.mean([said[c]["means"][n] for c in CELL_TYPES]) for n in HIGHER_IS_BETTER}
    assert measures.compute() == pytest.approx(over_types, abs=1e-6)


@pytest.mark.parametrize("size", [3, 32])
def test_they_are_those_that_cell_eval_gave(size: int) -> None:
    agrees_with(json.loads(RECORDED.read_text()), measured(batches(size)))


needs_cell_eval = pytest.mark.skipif(
    importlib.util.find_spec("cell_eval") is None,
    reason="cell-eval is not installed: its recorded numbers are compared instead",
)


@pytest.mark.slow
@needs_cell_eval
def test_they_are_those_that_cell_eval_gives(tmp_path: Path) -> None:
    script = Path(__file__).with_name("effect_cells.py")
    said = tmp_path / "said.json"
    subprocess.run([sys.executable, script, said], check=True, env=os.environ, capture_output=True)
    agrees_with(json.loads(said.read_text()), measured(batches(32)))


@needs_cell_eval
@pytest.mark.filterwarnings("ignore")  # those of cell-eval and what it imports
def test_cell_eval_itself_measures_where_it_is_asked_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = measured(batches(32), by_cell_eval=True)
    agrees_with(json.loads(RECORDED.read_text()), theirs)
    ours = measured(batches(32)).table().measures
    for name, column in theirs.table().measures.items():
        np.testing.assert_allclose(column, ours[name], atol=1e-6)
    with caplog.at_level("INFO"):
        theirs.write(tmp_path, "test")
    assert "The effects were measured by cell-eval 0." in caplog.text


def test_without_cell_eval_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without_cell_eval(name: str) -> Any:
        return None if name == "cell_eval" else find(name)

    monkeypatch.setattr(importlib.util, "find_spec", without_cell_eval)
    with pytest.raises(UserError) as refused:
        SetPredictionFactory(cell_eval=True).preflight()
    assert str(refused.value) == (
        "objective.cell_eval=true needs the package cell-eval, which is not installed. Install it "
        "with `pip install cell-eval`, or leave the option out: runwright computes the same."
    )


def test_sums_are_added_up_in_between_without_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = measured(batches(4)).compute()
    monkeypatch.setattr(effect_measures, "_MOST_PENDING", 100)
    step_by_step = measured(batches(4))
    assert len(step_by_step._sums) < 5  # pyright: ignore[reportPrivateUsage]
    assert step_by_step.compute() == pytest.approx(at_once, abs=1e-12)


class Process(World):
    """One of two processes, which is given what the others hold, and what it sent is kept."""

    given: ClassVar[list[Any]] = []
    sent: ClassVar[list[Any]] = []

    def all_gather(self, value: Any) -> list[Any]:
        self.sent.append(value)
        return [value, *self.given]


def test_several_processes_measure_what_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    given = batches(4)
    one = measured(given).table()
    for split in (0, 7, len(given)):  # also with a process that has no batches
        monkeypatch.setattr(Process, "given", [])
        measured(given[split:]).all_reduce(Process(size=2))
        monkeypatch.setattr(Process, "given", [Process.sent.pop()])
        mine = measured(given[:split])
        mine.all_reduce(Process(size=2))
        for name, column in mine.table().measures.items():
            np.testing.assert_allclose(column, one.measures[name], rtol=1e-12)


def test_without_control_sets_effects_are_measured_against_the_control_cells_of_the_model() -> None:
    given = [one for one in batches(32) if one[1].perturbation_index.item() != DIMS.control]
    found = of_pairs(measured(given).table())
    group = groups()[1]
    real, predicted = (cells.mean(axis=0, dtype=np.float64) - 1 for cells in group[2:])
    correlation = np.corrcoef(real, predicted)[0, 1]
    pair = CELL_TYPES[group.cell_type], PERTURBATIONS[group.perturbation]
    assert found[pair]["pearson_delta"] == pytest.approx(correlation, abs=1e-6)


def test_decoded_genes_are_measured_where_there_are_some() -> None:
    decoded = [
        (
            Prediction(cells=torch.zeros(1, 32, 2), genes=outputs.cells),
            CellSets(
                basal=torch.zeros(1, 32, 2),
                cells=torch.ones(1, 32, 2),
                genes=batch.cells,
                perturbation=batch.perturbation,
                perturbation_index=batch.perturbation_index,
                cell_type=batch.cell_type,
                batch=batch.batch,
                cell=batch.cell,
                mask=batch.mask,
            ),
        )
        for outputs, batch in batches(32)
    ]
    agrees_with(json.loads(RECORDED.read_text()), measured(decoded))
    perturbed = [one for one in decoded if one[1].perturbation_index.item() != DIMS.control]
    given = [
        (outputs, attrs.evolve(batch, basal_genes=torch.full_like(outputs.genes, 0.5)))
        for outputs, batch in perturbed
        if outputs.genes is not None
    ]
    assert all((one.control == 0.5).all() for one in measured(given).means())


def test_a_baseline_is_measured_in_place_of_what_was_predicted() -> None:
    perfect = [one._replace(predicted=one.real) for one in measured(batches(32)).means()]
    assert [len(one.perturbation) for one in perfect] == [9, 8]
    assert table_of_means(perfect, DIMS).means() == pytest.approx(
        {name: float(better) for name, better in HIGHER_IS_BETTER.items()}
    )


def test_nothing_measured_is_nan() -> None:
    assert all(math.isnan(value) for value in measured([]).compute().values())
    controls = [one for one in batches(32) if one[1].perturbation_index.item() == DIMS.control]
    values = measured(controls).compute()
    assert list(values) == list(HIGHER_IS_BETTER)
    assert all(math.isnan(value) for value in values.values())


def test_a_prediction_of_another_shape_is_refused() -> None:
    outputs, batch = batches(32)[0]
    with pytest.raises(UserError, match=r"predicted cells of shape \(1, 32, 13\).*\(1, 32, 14\)"):
        EffectMeasures(DIMS, CPU).update(Prediction(cells=outputs.cells[:, :, 1:]), batch)


def test_predictions_that_are_in_no_mean_are_told(caplog: pytest.LogCaptureFixture) -> None:
    means = measured(batches(32)).means()
    predicted = means[1].predicted.clone()
    predicted[0, 2] = math.inf
    table_of_means([means[0], means[1].predicted_as(predicted)], DIMS)
    (said,) = caplog.messages
    assert said == (
        f"What is predicted of 1 of {len(predicted)} perturbations of {DIMS.cell_type_names[1]} is "
        "not finite: they are in no mean."
    )
