"""A cache of decoded images: decoded once, by all cores, then mapped into memory.

The cache is one `.npy` file of shape (N, 3, res, res), named after everything that its pixels
depend on. It is written under another name and renamed when it is complete, and a lock lets
parallel jobs decode only once.
"""

import contextlib
import hashlib
import json
import logging
import math
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from runwright import UserError, made_once, make_empty_array, mapped_array

log = logging.getLogger(__name__)

# Images: few enough for a smooth progress bar and an even load, enough for one write.
_CHUNK: Final = 32

_CANNOT_KEEP: Final = (
    "The {num_images:,} decoded images of {res}×{res} pixels, {needed:.2f} GiB, cannot be kept in "
    "{folder}: {problem}. Choose another folder with dm.cache_dir=…, or smaller images with "
    "dm.default_res=…, or make room."
)


@attrs.frozen(kw_only=True)
class ImageFiles:
    """Image files on the disk.

    Attributes:
        folder: where they are.
        names: their names, in the order of the decoded images.
        stamps: the size in bytes and the time of the last change in ns of each.
        next_step: what the user should do when some of them are broken.
    """

    folder: Path
    names: tuple[str, ...]
    stamps: tuple[tuple[int, int], ...]
    next_step: str


def decoded_images(files: ImageFiles, res: int, cache_dir: Path) -> NDArray[np.uint8]:
    """The images, square and `res` pixels wide; decoded now unless they are in the cache.

    Returns:
        A read-only memory map of shape (N, 3, res, res).

    Raises:
        UserError: images are broken, or there is no room for the decoded ones.
    """
    shape = (len(files.names), 3, res, res)
    path = cache_dir / f"{res}px-{_key(files, res)}.npy"
    was_there = path.exists()
    try:
        made_once(
            path,
            lambda partial: _decode(files, res, partial),
            what="decoding the same images",
        )
    except OSError as error:
        raise UserError(_cannot_keep(cache_dir, shape, str(error))) from error
    if not was_there:
        log.info("%s", _kept(path))
    return mapped_array(path, shape)


def _key(files: ImageFiles, res: int) -> str:
    from runwright.domains.vision.decoding import DECODER

    depends_on = json.dumps([DECODER, res, files.names, files.stamps])
    return hashlib.sha256(depends_on.encode()).hexdigest()[:16]


def _decode(files: ImageFiles, res: int, path: Path) -> None:
    shape = (len(files.names), 3, res, res)
    _check_room(path.parent, shape)
    broken = _decode_all(files, res, path, make_empty_array(path, shape, np.uint8))
    if broken:
        raise UserError(_broken_images(files, broken))


def _decode_all(files: ImageFiles, res: int, array: Path, offset: int) -> dict[int, str]:
    """Decode all images into the array whose data begin at `offset`, on all cores.

    In threads: Pillow releases the GIL while it decodes and resizes. Processes would have to be
    kept from importing the user's script, and ended when this one is killed.

    Returns:
        Why an image could not be decoded, by its number.
    """
    from runwright.domains.vision.decoding import decode_images

    count = len(files.names)
    title = f"Decoding {count:,} images to {res}×{res} pixels"

    def decode(first: int) -> dict[int, str]:
        paths = [files.folder / name for name in files.names[first : first + _CHUNK]]
        decoded, broken = decode_images(paths, res)
        with array.open("r+b") as file:
            file.seek(offset + first * decoded[0].nbytes)
            file.write(decoded.data)
        bar.update(len(paths))
        return {first + position: problem for position, problem in broken.items()}

    log.info("%s …", title)
    started = time.monotonic()
    broken: dict[int, str] = {}
    with (
        tqdm(total=count, desc=title, unit="image", disable=not sys.stderr.isatty()) as bar,
        ThreadPoolExecutor(_num_cores(), thread_name_prefix="decoding") as pool,
    ):
        decoding = [pool.submit(decode, first) for first in range(0, count, _CHUNK)]
        try:
            for chunk in decoding:
                broken |= chunk.result()
        finally:
            pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the rest
    log.info("%s: done in %.1f s.", title, time.monotonic() - started)
    return broken


def _num_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _kept(path: Path) -> str:
    """Where the images are, and what else fills the folder: nothing is deleted unasked."""
    text = f"The decoded images are kept in {path} ({_size(path)})."
    older: list[str] = []
    for other in sorted(path.parent.glob("*px-*.npy")):
        with contextlib.suppress(FileNotFoundError):  # another process is deleting it
            if other != path:
                older.append(f"  {other.name}  {_size(other)}")
    if older:
        text += " Older ones next to it may be deleted; what is needed is decoded again:"
    return "\n".join([text, *older])


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 2**20:,.1f} MiB"


def _check_room(folder: Path, shape: tuple[int, ...]) -> None:
    free = shutil.disk_usage(folder).free
    if free < math.prod(shape):
        raise UserError(_cannot_keep(folder, shape, f"only {free / 2**30:.2f} GiB are free there"))


def _cannot_keep(folder: Path, shape: tuple[int, ...], problem: str) -> str:
    return _CANNOT_KEEP.format(
        num_images=shape[0],
        res=shape[-1],
        needed=math.prod(shape) / 2**30,
        folder=folder,
        problem=problem,
    )


def _broken_images(files: ImageFiles, broken: dict[int, str]) -> str:
    shown = [f"  {files.names[item]}: {broken[item]}" for item in sorted(broken)[:10]]
    rest = len(broken) - len(shown)
    return "\n".join(
        [
            f"{len(broken):,} of the {len(files.names):,} images in {files.folder} are broken:",
            *shown,
            *([f"  … and {rest} more"] if rest else []),
            files.next_step,
        ]
    )
