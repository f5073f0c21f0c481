"""Arrays that take long to make: made once, by one process, then mapped into memory."""

import contextlib
import logging
import math
import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import DTypeLike, NDArray

from runwright.errors import UserError

log = logging.getLogger(__name__)


def made_once(path: Path, make: Callable[[Path], None], *, what: str) -> None:
    """Make a file unless it is there; parallel jobs wait for the one that makes it.

    Args:
        path: the file.
        make: writes it to the path that it is given, which is renamed when it is complete.
        what: what is being made, for those who wait: "decoding the same images".

    Raises:
        OSError: it cannot be written.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path, what):
        if path.exists():
            return
        _remove_leftovers(path.parent)
        partial = path.with_suffix(".partial")
        try:
            make(partial)
            with partial.open("rb") as file:
                os.fsync(file.fileno())  # a crash of the machine must not leave a file with holes
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def make_empty_array(path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> int:
    """Write a `.npy` file of this shape; returns where its data begin."""
    kind = np.dtype(dtype)
    with path.open("wb") as file:
        header = {
            "descr": np.lib.format.dtype_to_descr(kind),
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(file, header)
        offset = file.tell()
        file.truncate(offset + math.prod(shape) * kind.itemsize)
    return offset


def mapped_array(path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    """Map a `.npy` file into memory, to read it.

    Raises:
        UserError: it is damaged.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(f"{path} is damaged: {error}. Delete it; it will be made again.") from error
    if array.shape != shape:
        raise UserError(
            f"{path} is damaged: it has the shape {array.shape}, not {shape}. Delete it; it will "
            "be made again."
        )
    return array


@contextlib.contextmanager
def _locked(path: Path, what: str) -> Generator[None]:
    """Let one process at a time make the file at `path`."""
    lock = FileLock(_lock_path(path))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("Another process is %s: waiting for it.", what)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")


def _remove_leftovers(folder: Path) -> None:
    """Remove unfinished files of killed processes, which no process holds open."""
    for partial in list(folder.glob("*.partial")):
        with contextlib.suppress(Timeout), FileLock(_lock_path(partial), timeout=0):
            partial.unlink(missing_ok=True)
