"""Values that no cell can have."""

import logging
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from runwright import SparseRows, UserError
from runwright.domains.perturbation.cell_table import CellTable

log = logging.getLogger(__name__)

_MOST_OF_LOGARITHM: Final = 10


def refuse_values(
    key: str,
    rows: "torch.Tensor | SparseRows",
    cells: NDArray[np.int64],
    table: CellTable,
    *,
    is_expression: bool,
) -> None:
    """Make sure that values are finite, and not below 0 if they are expression.

    Args:
        key: where they are in the files, `X`.
        rows: (N, columns), of N cells.
        cells: the numbers of these cells, (N,).
        table: all cells.
        is_expression: whether they are the expression of genes.

    Raises:
        UserError: one is not; says where, and what to do.
    """
    values = rows.values if isinstance(rows, SparseRows) else rows.flatten()
    is_wrong = ~values.isfinite()
    if is_expression:
        is_wrong |= values < 0
    if not bool(is_wrong.any()):
        return
    place = int(is_wrong.nonzero()[0])
    row = _row_of(rows, place) if isinstance(rows, SparseRows) else place // rows.shape[1]
    path, number = _place_of(cells[row], table)
    value = float(values[place])
    said = f"{path}: {key} has the value {value:g} in row {number} (from 0)"
    if value < 0 and np.isfinite(value):
        raise UserError(
            f"{said}, and no expression is below 0: nothing below can be predicted. Write "
            "log-normalised counts to X; what is scaled can be an embedding, "
            '`adata.obsm["X_scaled"] = adata.X`, for dm.embed_key=X_scaled '
            "dm.output_space=embedding."
        )
    raise UserError(f"{said}. Replace such values, or leave these cells out of the file.")


def refuse_repeated(
    key: str, rows: "torch.Tensor | SparseRows", cells: NDArray[np.int64], table: CellTable
) -> None:
    """Make sure that a sparse matrix has at most one value for each cell and column.

    Several are a sum in SciPy, but one of them where a batch becomes dense on a GPU.

    Args:
        key: where they are in the files, `X`.
        rows: (N, columns), of N cells.
        cells: the numbers of these cells, (N,).
        table: all cells.

    Raises:
        UserError: there are several; says where, and what to do.
    """
    if not isinstance(rows, SparseRows):
        return
    of = torch.repeat_interleave(rows.offsets.diff())
    places = of * rows.width + rows.columns
    if bool((places.diff() > 0).all()):
        return  # the columns of each row are in order, as nearly always
    places, order = places.sort(stable=True)
    repeated = (places.diff() == 0).nonzero()
    if len(repeated):
        path, number = _place_of(cells[_row_of(rows, int(order[int(repeated[0])]))], table)
        raise UserError(
            f"{path}: {key} has several values for one gene in row {number} (from 0). Add them up, "
            f"`adata.{key}.sum_duplicates()`, then write_h5ad."
        )


def tell_counts(
    rows: "torch.Tensor | SparseRows", cells: NDArray[np.int64], table: CellTable
) -> bool:
    """Warn if the expression of cells, (N, genes), seems to be counts; returns whether it does."""
    values = rows.values if isinstance(rows, SparseRows) else rows.flatten()
    most = float(values.max()) if len(values) else 0.0
    seems = most > _MOST_OF_LOGARITHM and bool((values == values.round()).all())
    if seems:
        path, _ = _place_of(cells[0], table)
        log.warning(
            "%s: X seems to hold counts, whole numbers up to %d. Losses and measures are made for "
            "log-normalised values, such as those of scanpy's pp.normalize_total and pp.log1p; of "
            "counts, a few genes and the depth of sequencing decide.",
            path,
            most,
        )
    return seems


def _row_of(rows: SparseRows, place: int) -> int:
    return int(torch.searchsorted(rows.offsets, place, right=True)) - 1


def _place_of(cell: np.int64, table: CellTable) -> tuple[Path, int]:
    """The file that a cell is in, and its row there."""
    file = int(table.file_of(np.array([cell]))[0])
    return table.files[file], int(cell - table.starts[file])
