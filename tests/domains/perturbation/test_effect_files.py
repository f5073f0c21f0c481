"""Measured effects as files, of each perturbation and of each cell type."""

import csv
from pathlib import Path

import numpy as np
import pytest

from domains.perturbation.effect_cells import CELL_TYPES, PERTURBATIONS
from domains.perturbation.test_effect_measures import DIMS, batches, measured
from runwright.domains.perturbation.effect_files import csv_of_cell_types
from runwright.domains.perturbation.effect_table import HIGHER_IS_BETTER, EffectTable


def test_there_is_a_row_for_each_perturbation(tmp_path: Path) -> None:
    measures = measured(batches(8))
    measures.write(tmp_path, "val")
    header, *rows = (tmp_path / "effects_val.csv").read_text().splitlines()
    assert header == ",".join(["cell_type", "perturbation", *HIGHER_IS_BETTER])
    table = measures.table()
    assert len(rows) == len(table.perturbation)
    cells = rows[0].split(",")
    assert cells[:2] == [CELL_TYPES[table.cell_type[0]], PERTURBATIONS[table.perturbation[0]]]
    assert float(cells[2]) == table.measures["pearson_delta"][0]


def test_there_is_a_row_for_each_cell_type_with_its_intervals(tmp_path: Path) -> None:
    measures = measured(batches(8))
    measures.write(tmp_path, "val")
    with (tmp_path / "effects_by_cell_type_val.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["cell_type"] for row in rows] == CELL_TYPES
    table = measures.table()
    for number, row in enumerate(rows):
        of_type = table.measures["mse"][table.cell_type == number]
        assert int(row["perturbations"]) == len(of_type)
        assert float(row["mse"]) == pytest.approx(of_type.mean())
        # Of the mean of few values: about 2 standard errors to either side.
        width = float(row["mse_high"]) - float(row["mse_low"])
        error = of_type.std() / np.sqrt(len(of_type))
        assert 3 * error < width < 4.5 * error
        assert float(row["mse_low"]) <= float(row["mse"]) <= float(row["mse_high"])


def test_what_is_not_defined_is_empty() -> None:
    values = dict.fromkeys(HIGHER_IS_BETTER, np.array([np.nan]))
    table = EffectTable(cell_type=np.array([0]), perturbation=np.array([1]), measures=values)
    _, row = csv_of_cell_types(table, DIMS).splitlines()
    assert row == f"{CELL_TYPES[0]},1" + "," * 3 * len(HIGHER_IS_BETTER)
