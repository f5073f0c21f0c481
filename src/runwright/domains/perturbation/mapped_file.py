"""A file that is mapped into memory, of which any bytes can be asked for ahead."""

import mmap
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

Ints = NDArray[np.int64]

_CAN_ASK: Final = hasattr(mmap, "MADV_WILLNEED")


class MappedFile:
    """The bytes of a file, read-only; one map, however many arrays lie in it.

    A map for each array would be tens of thousands of a large file, and each holds a file open.
    To another process goes the path alone, and it maps the file itself.
    """

    def __init__(self, path: Path) -> None:
        """Map a file, which must not be empty."""
        self._path = path.absolute()
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._bytes = np.frombuffer(self._map, dtype=np.uint8)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def __reduce__(self) -> tuple[Any, ...]:
        """How it is pickled: by its path."""
        return type(self), (self._path,)

    def array(self, dtype: DTypeLike, offset: int, shape: tuple[int, ...]) -> NDArray[Any]:
        """An array that lies in the file, from a byte on."""
        kind = np.dtype(dtype)
        end = offset + int(np.prod(shape)) * kind.itemsize
        return self._bytes[offset:end].view(kind).reshape(shape)

    def ask_for(self, begin: Ints, end: Ints) -> None:
        """Let the system read spans of bytes, (K,), from disk while others are copied.

        Without it, every first access waits for the disk, and reads ten times as much as is
        wanted from places that are far apart. Of bytes that are in memory it takes a microsecond
        or two, so it is for files that are not.
        """
        if not _CAN_ASK:
            return
        first = begin // mmap.PAGESIZE * mmap.PAGESIZE
        spans: list[list[int]] = np.stack([first, end - first]).T.tolist()
        for start, length in spans:
            self._map.madvise(mmap.MADV_WILLNEED, start, length)
