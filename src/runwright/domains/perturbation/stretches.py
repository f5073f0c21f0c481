"""One-dimensional arrays that lie in a file in a few stretches, memory-mapped."""

from typing import Any, Self

import attrs
import numpy as np
from numpy.typing import NDArray


@attrs.frozen(kw_only=True, eq=False)
class Stretches:
    """An array in parts, one after another.

    The anndata package writes sparse matrices in chunks, between which HDF5 puts its own tables.

    Attributes:
        parts: the parts.
        starts: (parts + 1,), int64, where each part begins in the array, and where the last ends.
    """

    parts: tuple[NDArray[Any], ...]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, array: NDArray[Any]) -> Self:
        """An array that is in one part."""
        return cls(parts=(array,), starts=np.array([0, len(array)], dtype=np.int64))

    @classmethod
    def of_chunks(cls, file: NDArray[np.uint8], node: Any) -> Self:
        """The array of a data set in chunks that are not compressed.

        Args:
            file: the bytes of the whole file, memory-mapped. A map for each stretch would be tens
                of thousands of a large file, and each holds a file open.
            node: the data set.
        """
        chunks: list[tuple[int, int]] = []

        def note(chunk: Any) -> None:  # what is not None ends the iteration
            chunks.append((chunk.chunk_offset[0], chunk.byte_offset))

        node.id.chunk_iter(note)
        chunks.sort()
        size = node.chunks[0] * node.dtype.itemsize
        first, at = (np.array(column, dtype=np.int64) for column in zip(*chunks, strict=True))
        is_new = np.append(True, np.diff(at) != size)
        starts = np.append(first[is_new], len(node))
        parts = tuple(
            file[offset : offset + (end - begin) * node.dtype.itemsize].view(node.dtype)
            for offset, begin, end in zip(at[is_new], starts, starts[1:], strict=False)
        )
        return cls(parts=parts, starts=starts)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""
        return self.parts[0].dtype

    def copy_spans(
        self,
        begin: NDArray[np.int64],
        end: NDArray[np.int64],
        offsets: NDArray[np.int64],
        out: NDArray[Any],
    ) -> None:
        """Copy spans of the array, one after another.

        Args:
            begin: (K,), where the spans begin.
            end: (K,), where they end.
            offsets: (K + 1,), where each goes.
            out: (offsets[-1],), where to.
        """
        part = np.searchsorted(self.starts, begin, side="right") - 1
        starts: list[int] = self.starts.tolist()
        columns: list[list[int]] = np.stack([part, begin, end, offsets[:-1]]).T.tolist()
        # Copies of whole spans: in half the time of one index for all values.
        for number, first, last, to in columns:
            while last > first:
                until = min(last, starts[number + 1])
                shift = starts[number]
                out[to : to + until - first] = self.parts[number][first - shift : until - shift]
                to, first, number = to + until - first, until, number + 1  # noqa: PLW2901
