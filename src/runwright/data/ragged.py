"""Parts of a batch whose examples have different sizes, stored one after another.

Importing this module does not load torch.
"""

from typing import TYPE_CHECKING, Any, Final, Self, cast

import attrs
from typing_extensions import override

from runwright.data.parts import Index, Part, select_examples
from runwright.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_MOST_SHOWN: Final = 8


def _select_ragged(offsets: "Tensor", index: Index) -> "tuple[Tensor | slice, Tensor]":
    """Locate the values of some examples, which are stored one after another.

    Args:
        offsets: (B + 1,), where the values of each example begin, and where the last ones end.
        index: which examples.

    Returns:
        Which values to select, and the offsets within the selection.
    """
    import torch

    if isinstance(index, slice):
        first, end, step = index.indices(len(offsets) - 1)
        if step == 1:
            cut = offsets[first : max(first, end) + 1]
            return slice(int(cut[0]), int(cut[-1])), cut - cut[0]
        index = torch.arange(first, end, step, device=offsets.device)
    begin = offsets.index_select(0, index)
    lengths = offsets.index_select(0, index + 1) - begin
    chosen = torch.zeros(len(index) + 1, dtype=offsets.dtype, device=offsets.device)
    torch.cumsum(lengths, 0, out=chosen[1:])
    count = int(chosen[-1])
    shift = torch.repeat_interleave(begin - chosen[:-1], lengths, output_size=count)
    return torch.arange(count, device=offsets.device) + shift, chosen


def _check_offsets(offsets: "Tensor", values: "Tensor", owner: str) -> None:
    if offsets.device.type != "cpu":  # was checked on the CPU; reading it would wait for the device
        return
    if offsets.ndim != 1 or len(offsets) == 0 or int(offsets[0]) != 0:
        raise UserError(f"{owner}: `offsets` must have shape (B + 1,) and start with 0.")
    if int(offsets[-1]) != len(values) or bool((offsets.diff() < 0).any()):
        raise UserError(
            f"{owner}: `offsets` must not decrease, and must end with the number of `values`, "
            f"{len(values)}, got {int(offsets[-1])} at the end."
        )


@attrs.frozen(kw_only=True)
class Ragged(Part):
    """Sets of different sizes, stored one after another.

    On a GPU, `select` waits for the device to report how many values there are. Batches of a
    `Streamed` split are selected in main memory.

    Attributes:
        values: (N, …), the members of all sets.
        offsets: (B + 1,), int64: where each set begins, and where the last one ends.
    """

    values: "Tensor"
    offsets: "Tensor"

    def __attrs_post_init__(self) -> None:
        _check_offsets(self.offsets, self.values, "Ragged")

    @classmethod
    def of(cls, sets: "Sequence[Tensor]") -> Self:
        """Store sets, each of shape (N_i, …), one after another.

        Raises:
            UserError: there are none, or they differ in more than their sizes.
        """
        import torch

        if len({one.shape[1:] for one in sets}) != 1:
            shapes = ", ".join(str(tuple(one.shape)) for one in sets[:_MOST_SHOWN])
            more = ", …" if len(sets) > _MOST_SHOWN else ""
            raise UserError(
                "Ragged.of takes sets that have the same shape but for their sizes, the first "
                f"number; got {shapes or 'no set'}{more}."
            )
        lengths = torch.tensor([0, *map(len, sets)])
        return cls(values=torch.cat(list(sets)), offsets=lengths.cumsum(0))

    @override
    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> "Tensor":
        """(B,), the size of each set."""
        return self.offsets.diff()

    @override
    def select(self, index: Index) -> Self:
        where, offsets = _select_ragged(self.offsets, index)
        return type(self)(values=select_examples(self.values, where), offsets=offsets)

    def padded(self, length: int | None = None, fill: float = 0) -> "tuple[Tensor, Tensor]":
        """The sets as one padded tensor.

        Args:
            length: L, to which every set is cut or padded; by default the size of the largest
                set, which has to wait for a GPU.
            fill: the padding.

        Returns:
            (B, L, …), and a mask (B, L) that is false in the padding.
        """
        import torch

        lengths = self.lengths
        if length is None:
            length = int(lengths.max()) if len(self) else 0
        places = torch.arange(length, device=self.offsets.device)
        mask = places < lengths[:, None]
        padded = self.values.new_full((len(self), length, *self.values.shape[1:]), fill)
        if len(self.values):
            index = (self.offsets[:-1, None] + places).clamp_(max=len(self.values) - 1)
            apart = mask.view(*mask.shape, *[1] * (self.values.ndim - 1))
            padded = torch.where(apart, self.values[index], padded)
        return padded, mask


@attrs.frozen(kw_only=True)
class SparseRows(Part):
    """A matrix of which only the nonzero values are stored, row by row (CSR).

    It is copied to the device as it is, and made dense there.

    Attributes:
        values: (N,), the nonzero values.
        columns: (N,), an integer type: the column of each value; no two in a row are equal.
        offsets: (B + 1,), int64: where each row begins, and where the last one ends.
        width: the number of columns.
    """

    values: "Tensor"
    columns: "Tensor"
    offsets: "Tensor"
    width: int

    def __attrs_post_init__(self) -> None:
        _check_offsets(self.offsets, self.values, "SparseRows")
        if len(self.columns) != len(self.values):
            raise UserError(
                f"SparseRows: `columns` has {len(self.columns)} entries, `values` has "
                f"{len(self.values)}. Each value needs its column."
            )

    @classmethod
    def from_csr(cls, matrix: Any) -> Self:
        """Convert a SciPy matrix; one of another format than CSR is copied."""
        import numpy as np
        import torch
        from scipy.sparse import csr_matrix

        csr: Any = csr_matrix(matrix)
        if not csr.has_canonical_format:  # a column may be twice in a row
            csr = csr.copy()
            csr.sum_duplicates()
        return cls(
            values=torch.as_tensor(csr.data),
            columns=torch.as_tensor(csr.indices),
            offsets=torch.as_tensor(csr.indptr.astype(np.int64)),
            width=csr.shape[1],
        )

    @override
    def __len__(self) -> int:
        return len(self.offsets) - 1

    @override
    def select(self, index: Index) -> Self:
        where, offsets = _select_ragged(self.offsets, index)
        return type(self)(
            values=select_examples(self.values, where),
            columns=select_examples(self.columns, where),
            offsets=offsets,
            width=self.width,
        )

    def dense(self) -> "Tensor":
        """The dense matrix, (B, width)."""
        import torch

        if self.values.device.type == "cpu" and self.values.dtype in (torch.float32, torch.float64):
            return self._dense_by_scipy()
        rows = torch.repeat_interleave(self.offsets.diff(), output_size=len(self.values))
        dense = self.values.new_zeros(len(self) * self.width)
        dense.scatter_(0, rows * self.width + self.columns, self.values)
        return dense.view(len(self), self.width)

    def _dense_by_scipy(self) -> "Tensor":
        """The dense matrix in a tenth of the time: NumPy's memory is of large pages."""
        import numpy as np
        import torch
        from scipy.sparse import csr_matrix

        values = self.values.numpy()
        dense = np.zeros((len(self), self.width), dtype=values.dtype)
        parts = (values, self.columns.numpy(), self.offsets.numpy())
        cast("Any", csr_matrix(parts, shape=dense.shape)).toarray(out=dense)
        return torch.from_numpy(dense)
