"""Values that no cell can have."""

import numpy as np
import torch
from numpy.typing import NDArray

from runwright import SparseRows, UserError
from runwright.domains.perturbation.cell_table import CellTable


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
        cells: the numbers of these cells, N in any shape.
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
    if isinstance(rows, SparseRows):
        row = int(torch.searchsorted(rows.offsets, place, right=True)) - 1
    else:
        row = place // rows.shape[1]
    cell = cells.reshape(-1)[[row]]
    file = int(table.file_of(cell)[0])
    value = float(values[place])
    said = (
        f"{table.files[file]}: {key} has the value {value:g} in row "
        f"{int(cell[0] - table.starts[file])} (from 0)"
    )
    if value < 0 and np.isfinite(value):
        raise UserError(
            f"{said}, and no expression is below 0: nothing below can be predicted. Write "
            "log-normalised counts to X; what is scaled can be an embedding, "
            '`adata.obsm["X_scaled"] = adata.X`, for dm.embed_key=X_scaled '
            "dm.output_space=embedding."
        )
    raise UserError(f"{said}. Replace such values, or leave these cells out of the file.")
