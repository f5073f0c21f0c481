"""Sets of cells as they are gathered: what is sparse travels sparse."""

import attrs
import torch
from typing_extensions import override

from runwright import Batch, Index, Part, SparseRows


@attrs.frozen(kw_only=True)
class RowSets(Part):
    """Sets of rows of a matrix, as they are gathered: sparse rows travel sparse.

    Attributes:
        rows: (B · S, width).
        size: S, the rows of a set.
    """

    rows: "torch.Tensor | SparseRows"
    size: int

    @override
    def __len__(self) -> int:
        return len(self.rows) // self.size

    @override
    def select(self, index: Index) -> "RowSets":
        sets = torch.arange(len(self))[index] if isinstance(index, slice) else index
        rows = (sets[:, None] * self.size + torch.arange(self.size)).flatten()
        chosen = self.rows.select(rows) if isinstance(self.rows, SparseRows) else self.rows[rows]
        return RowSets(rows=chosen, size=self.size)

    def dense(self) -> torch.Tensor:
        """(B, S, width)."""
        dense = self.rows.dense() if isinstance(self.rows, SparseRows) else self.rows
        return dense.view(-1, self.size, dense.shape[-1])


@attrs.frozen(kw_only=True)
class GatheredSets(Batch):
    """A batch of sets as it is gathered; see `CellSets` for the attributes."""

    basal: RowSets
    cells: RowSets
    genes: RowSets | None
    basal_genes: RowSets | None
    perturbation_index: torch.Tensor
    cell_type: torch.Tensor
    batch: torch.Tensor
    cell: torch.Tensor
    mask: torch.Tensor | None
