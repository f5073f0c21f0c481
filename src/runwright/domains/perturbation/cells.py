"""The cells of all files, and the files opened to read rows of them."""

import itertools

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from runwright import SparseRows
from runwright.domains.perturbation.cell_table import CellTable
from runwright.domains.perturbation.rows import Rows


@attrs.frozen(kw_only=True, eq=False)
class Cells:
    """The cells that sets are gathered from.

    Attributes:
        table: what they are.
        rows: of each file, what a model gets and predicts of a cell.
        genes: of each file, the genes that are decoded; None if none are.
        embedding: where the rows are in the files, if they are an embedding: `obsm/X_pca`; None if
            they are expression.
        vectors: (perturbations, P), on the training device.
        control: the number of the control among the perturbations.
    """

    table: CellTable
    rows: tuple[Rows, ...]
    genes: tuple[Rows, ...] | None
    embedding: str | None
    vectors: torch.Tensor
    control: int

    def read(
        self, files: tuple[Rows, ...], cells: NDArray[np.int64]
    ) -> "torch.Tensor | SparseRows":
        """Rows of cells by their numbers, (N,), from the files that they are in.

        Args:
            files: `rows` or `genes`.
            cells: those of one file after another.
        """
        table = self.table
        of = table.file_of(cells)
        if len(files) == 1 or (of == of[0]).all():
            file = int(of[0])
            return files[file].read(cells - table.starts[file])
        # Cells come in runs of one file: those of a set are from the same.
        cuts = [0, *(np.flatnonzero(np.diff(of)) + 1).tolist(), len(cells)]
        parts = [
            files[int(of[begin])].read(cells[begin:end] - table.starts[int(of[begin])])
            for begin, end in itertools.pairwise(cuts)
        ]
        return _joined(parts)


def _joined(parts: "list[torch.Tensor | SparseRows]") -> "torch.Tensor | SparseRows":
    """Rows one after another; files may differ in whether they are sparse."""
    sparse = [part for part in parts if isinstance(part, SparseRows)]
    if len(sparse) < len(parts):
        return torch.cat([part.dense() if isinstance(part, SparseRows) else part for part in parts])
    lengths = torch.cat([part.offsets.diff() for part in sparse])
    offsets = torch.zeros(len(lengths) + 1, dtype=torch.int64)
    torch.cumsum(lengths, 0, out=offsets[1:])
    return SparseRows(
        values=torch.cat([part.values for part in sparse]),
        columns=torch.cat([part.columns for part in sparse]),
        offsets=offsets,
        width=sparse[0].width,
    )
