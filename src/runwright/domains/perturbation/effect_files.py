"""The tables of measured effects as files: of each perturbation, and of each cell type."""

import csv
import io
import math
from collections.abc import Iterable, Iterator
from typing import Any, Final

from runwright import quantiles
from runwright.domains.perturbation.dims import PerturbationDims
from runwright.domains.perturbation.effect_table import HIGHER_IS_BETTER, EffectTable

_BOOTSTRAP_RUNS: Final = 1000


def csv_of_pairs(table: EffectTable, dims: PerturbationDims) -> str:
    """A row for each cell type and perturbation, with its measures."""
    columns = [table.measures[name].tolist() for name in HIGHER_IS_BETTER]
    pairs = zip(table.cell_type.tolist(), table.perturbation.tolist(), strict=True)
    rows: list[list[Any]] = [
        [dims.cell_type_names[cell_type], dims.perturbation_names[perturbation], *values]
        for (cell_type, perturbation), *values in zip(pairs, *columns, strict=True)
    ]
    return _csv(["cell_type", "perturbation", *HIGHER_IS_BETTER], rows)


def csv_of_cell_types(table: EffectTable, dims: PerturbationDims) -> str:
    """A row for each cell type: the number of its perturbations, and the means over them.

    `…_low` and `…_high` are the bounds of the 95 % interval over resampled perturbations.
    """
    bounds = [f"{name}{end}" for name in HIGHER_IS_BETTER for end in ("", "_low", "_high")]
    return _csv(["cell_type", "perturbations", *bounds], _of_cell_types(table, dims))


def _of_cell_types(table: EffectTable, dims: PerturbationDims) -> Iterator[list[Any]]:
    for number, means in table.of_cell_types().items():
        mine = table.of([number])
        row: list[Any] = [dims.cell_type_names[number], len(mine)]
        for name, runs in mine.bootstrap(_BOOTSTRAP_RUNS, seed=0).items():
            interval = quantiles(runs)
            row += [means[name], interval.low, interval.high]
        yield row


def _csv(header: list[str], rows: Iterable[list[Any]]) -> str:
    """Text with an empty field for what is not a number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(["" if isinstance(v, float) and math.isnan(v) else v for v in row])
    return text.getvalue()
