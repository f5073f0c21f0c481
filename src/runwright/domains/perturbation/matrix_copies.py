"""Copies of matrices that cannot be mapped into memory where they are: compressed, or in chunks."""

import hashlib
import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from runwright import UserError, made_once, make_empty_array, mapped_array

log = logging.getLogger(__name__)

_CHUNK_BYTES: Final = 2**25

_CANNOT_KEEP: Final = (
    "{path}: {key} is compressed or in chunks, and its copy of {needed:.2f} GiB, from which single "
    "cells can be read, cannot be kept in {folder}: {problem}. Choose another folder with "
    "dm.cache_dir=…, make room, or write the file without compression."
)


def mapped_copy(path: Path, node: Any, folder: Path) -> tuple[Path, int]:
    """A copy of a data set of an h5ad file, for a memory map; made now unless it is there.

    Args:
        path: the file.
        node: the data set in it.
        folder: where the copies are kept.

    Returns:
        The copy, and where the values begin in it, in bytes.

    Raises:
        UserError: there is no room for it.
    """
    stamp = path.stat()
    depends_on = [str(path.resolve()), stamp.st_size, stamp.st_mtime_ns, node.name, str(node.dtype)]
    key = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:16]
    name = str(node.name).strip("/").replace("/", ".")
    copy = folder / f"{path.stem}.{name}-{key}.npy"
    try:
        made_once(copy, lambda partial: _copy(path, node, partial), what=f"copying {path.name}")
    except OSError as error:
        raise UserError(_cannot_keep(path, node, folder, str(error))) from error
    values = mapped_array(copy, node.shape)
    return copy, copy.stat().st_size - values.nbytes


def _copy(path: Path, node: Any, to: Path) -> None:
    free = shutil.disk_usage(to.parent).free
    if free < node.nbytes:
        problem = f"only {free / 2**30:.2f} GiB are free there"
        raise UserError(_cannot_keep(path, node, to.parent, problem))
    log.info(
        "%s: %s is compressed or in chunks. Copying it to %s (%.2f GiB) …",
        path.name,
        node.name,
        to.parent,
        node.nbytes / 2**30,
    )
    offset = make_empty_array(to, node.shape, node.dtype)
    row_bytes = max(1, node.nbytes // len(node))
    chunk_rows = node.chunks[0] if node.chunks else 1
    rows = max(chunk_rows, _CHUNK_BYTES // row_bytes // chunk_rows * chunk_rows)
    title = f"Copying {path.name}"
    # Written, not stored through a map: there, a full disk would kill the process.
    with (
        to.open("r+b") as file,
        tqdm(
            total=node.nbytes,
            desc=title,
            unit="B",
            unit_scale=True,
            disable=not sys.stderr.isatty(),
        ) as bar,
    ):
        file.seek(offset)
        for first in range(0, len(node), rows):
            part = _read(path, node, slice(first, first + rows))
            file.write(part.data)
            bar.update(part.nbytes)


def _read(path: Path, node: Any, rows: slice) -> NDArray[Any]:
    try:
        return np.ascontiguousarray(node[rows])
    except OSError as error:
        raise UserError(
            f"{path}: {node.name} cannot be read: {error}. The file is damaged, or compressed in a "
            'way that h5py does not know; write it with compression="gzip" or without.'
        ) from error


def _cannot_keep(path: Path, node: Any, folder: Path, problem: str) -> str:
    return _CANNOT_KEEP.format(
        path=path, key=node.name, needed=node.nbytes / 2**30, folder=folder, problem=problem
    )
