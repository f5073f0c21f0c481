"""What a batch is made of: tensors, and objects that hold some, e.g. sets of different sizes.

Importing this module does not load torch.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, cast

import attrs
from typing_extensions import override

from runwright.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Index: TypeAlias = "torch.Tensor | slice"
"""Which examples to select: a slice, or integers of shape (K,)."""

_SHARED: Final = "runwright.shared"
_MOST_SHOWN: Final = 8


def shared(**kwargs: Any) -> Any:
    """Declare an attribute that belongs to a batch as a whole, not to single examples.

    It moves to the device with the batch, and is unchanged when examples are selected:

        @attrs.frozen(kw_only=True)
        class GraphBatch(Batch):
            features: Tensor  # (B, F)
            adjacency: Tensor = shared()  # (F, F), the same for all

    Args:
        **kwargs: passed to `attrs.field`, e.g. `default`.
    """
    return attrs.field(metadata={_SHARED: True}, **kwargs)


def how_to_share(name: str) -> str:
    """What to do with a part of a batch that belongs to the batch as a whole, e.g. `pair[0].x`."""
    if name.isidentifier():
        return f"declare it as `{name} = shared()`"
    return "give it an attribute of its own, declared as `shared()`"


class Part(ABC):
    """An attrs class that holds tensors and can select some of its examples."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of examples."""

    @abstractmethod
    def select(self, index: Index) -> Self:
        """The examples at `index`: a slice, or integers of shape (K,)."""

    def map(self, function: "Callable[[Tensor], Tensor]") -> Self:
        """A copy with `function` applied to every tensor."""
        return type(self)(
            **{
                alias: map_tensors(getattr(self, name), function)
                for name, alias, _ in fields_of(type(self))
            }
        )


@cache
def fields_of(cls: type[Any]) -> tuple[tuple[str, str, bool], ...]:
    """The attributes of an attrs class: (name, name in `__init__`, whether it is `shared()`)."""
    return tuple(
        (field.name, field.alias or field.name, _SHARED in field.metadata)
        for field in attrs.fields(cls)
        if field.init
    )


def map_tensors(value: Any, function: "Callable[[Tensor], Tensor]") -> Any:
    """A copy of a value with `function` applied to every tensor in it."""
    import torch

    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, Part):
        return value.map(function)
    return _rebuilt(value, lambda member: map_tensors(member, function))


def select_examples(value: Any, index: Index) -> Any:
    """Select examples of a value: tensors, arrays, parts, and containers of them."""
    import numpy as np
    import torch

    if isinstance(value, torch.Tensor):
        # index_select takes a third of the time of value[index].
        return value[index] if isinstance(index, slice) else value.index_select(0, index)
    if isinstance(value, Part):
        return value.select(index)
    if isinstance(value, np.ndarray):
        at = index if isinstance(index, slice) else index.cpu().numpy()
        return cast("Any", value)[at]
    return _rebuilt(value, lambda member: select_examples(member, index))


def _rebuilt(value: Any, change: Callable[[Any], Any]) -> Any:
    """A copy of a container with its members changed; anything else is returned as it is."""
    if isinstance(value, dict):
        members = cast("dict[Any, Any]", value)
        return {key: change(member) for key, member in members.items()}
    if isinstance(value, list):
        return [change(member) for member in cast("list[Any]", value)]
    if isinstance(value, tuple):
        members = tuple(change(member) for member in cast("tuple[Any, ...]", value))
        is_named = hasattr(cast("Any", value), "_fields")
        return cast("Any", value).__class__(*members) if is_named else members
    return value


def tensors_in(value: Any) -> "Iterator[Tensor]":
    """All tensors in a value."""
    found: list[Tensor] = []

    def note(tensor: "Tensor") -> "Tensor":
        found.append(tensor)
        return tensor

    map_tensors(value, note)
    yield from found


def lengths_of(value: Any, name: str) -> Iterator[tuple[str, int]]:
    """The number of examples of each tensor, array and part in a value: (name, length).

    Raises:
        UserError: examples cannot be selected from something in the value.
    """
    import numpy as np
    import torch

    if isinstance(value, torch.Tensor) and value.layout is not torch.strided:
        raise UserError(
            f"`{name}` is a sparse torch tensor, whose rows torch cannot select. Use "
            "runwright.SparseRows, and call its dense() on the device."
        )
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim == 0:
        raise UserError(
            f"`{name}` has shape (), so it has no entry per example. If it belongs to the batch as "
            f"a whole, {how_to_share(name)}."
        )
    if isinstance(value, torch.Tensor | np.ndarray | Part):
        yield name, len(cast("Any", value))
    elif isinstance(value, dict):
        for key, member in cast("dict[Any, Any]", value).items():
            yield from lengths_of(member, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        members = cast("list[Any] | tuple[Any, ...]", value)
        found = [one for i, part in enumerate(members) for one in lengths_of(part, f"{name}[{i}]")]
        if members and not found:
            raise UserError(
                f"`{name}` is a {type(members).__name__} of {type(members[0]).__name__}, so it is "
                "unclear whether it has one entry per example. If it does, use a NumPy array; if "
                f"it belongs to the batch as a whole, {how_to_share(name)}."
            )
        yield from found


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
