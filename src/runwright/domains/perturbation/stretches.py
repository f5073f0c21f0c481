"""One-dimensional arrays that lie in a file in a few stretches, memory-mapped."""

from typing import Any, Self

import attrs
import numpy as np
from numpy.typing import NDArray

from runwright.domains.perturbation.mapped_file import Ints, MappedFile


@attrs.frozen(kw_only=True, eq=False)
class Stretches:
    """An array in parts, one after another.

    The anndata package writes sparse matrices in chunks, between which HDF5 puts its own tables.

    Attributes:
        file: the file that they are in.
        parts: the parts.
        starts: (parts + 1,), int64, where each part begins in the array, and where the last ends.
        offsets: (parts,), int64, where each part begins in the file, in bytes.
    """

    file: MappedFile
    parts: tuple[NDArray[Any], ...]
    starts: Ints
    offsets: Ints

    @classmethod
    def at(cls, file: MappedFile, dtype: np.dtype[Any], starts: Ints, offsets: Ints) -> Self:
        """The array whose parts begin at these places; see `Stretches`."""
        parts = tuple(
            file.array(dtype, offset, (end - begin,))
            for offset, begin, end in zip(
                offsets.tolist(), starts.tolist(), starts[1:].tolist(), strict=False
            )
        )
        return cls(file=file, parts=parts, starts=starts, offsets=offsets)

    @classmethod
    def of_chunks(cls, file: MappedFile, node: Any) -> Self:
        """The array of a data set in chunks that are not compressed."""
        chunks: list[tuple[int, int]] = []

        def note(chunk: Any) -> None:  # what is not None ends the iteration
            chunks.append((chunk.chunk_offset[0], chunk.byte_offset))

        node.id.chunk_iter(note)
        chunks.sort()
        size = node.chunks[0] * node.dtype.itemsize
        first, at = (np.array(column, dtype=np.int64) for column in zip(*chunks, strict=True))
        is_new = np.append(True, np.diff(at) != size)
        starts = np.append(first[is_new], len(node))
        return cls.at(file, node.dtype, starts, at[is_new])

    def __reduce__(self) -> tuple[Any, ...]:
        """How it is pickled: by where its parts are."""
        return type(self).at, (self.file, self.dtype, self.starts, self.offsets)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""
        return self.parts[0].dtype

    def ask_for(self, begin: Ints, end: Ints) -> None:
        """Let the system read spans of the array, (K,), from disk; see `MappedFile`."""
        part = np.searchsorted(self.starts, begin, side="right") - 1
        shift = self.offsets[part] - self.starts[part] * self.dtype.itemsize
        end = np.minimum(end, self.starts[part + 1])
        size = self.dtype.itemsize
        self.file.ask_for(shift + begin * size, shift + end * size)

    def copy_spans(self, begin: Ints, end: Ints, offsets: Ints, out: NDArray[Any]) -> None:
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
