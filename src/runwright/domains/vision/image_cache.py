"""A cache of decoded images: decoded once, by all cores, then mapped into memory.

The cache is one `.npy` file of shape (N, C, H, W), named after everything that its pixels depend
on. It is written under another name and renamed when it is complete, and a lock lets
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
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm
from typing_extensions import override

from runwright import UserError, made_once, make_empty_array, mapped_array

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)

# Images: few enough for a smooth progress bar and an even load, enough for one write.
_CHUNK: Final = 32

_RESIZE: Final = (
    "Resize all to one size with dm.default_res=…, e.g. 224: the shorter side is resized, and the "
    "central square taken."
)

_CANNOT_KEEP: Final = (
    "The {num_images:,} decoded images of {size} pixels, {needed:.2f} GiB, cannot be kept in "
    "{folder}: {problem}. Choose another folder with dm.cache_dir=…, or smaller images with "
    "dm.default_res=…, or make room."
)


class ImageSource(ABC):
    """Images to be decoded, in an order.

    Attributes:
        folder: where they are.
        next_step: what the user should do when some of them are broken.
    """

    folder: Path
    next_step: str

    @abstractmethod
    def __len__(self) -> int:
        """How many there are."""

    @abstractmethod
    def name(self, position: int) -> str:
        """What an image is called."""

    @abstractmethod
    def open(self, position: int) -> "Image.Image":
        """Open an image; the caller closes it.

        Raises:
            OSError: it cannot be opened; as Pillow, it may also raise `ValueError`.
        """

    @abstractmethod
    def depends_on(self) -> list[Any]:
        """What the images depend on, as values that JSON has."""


@attrs.frozen(kw_only=True)
class ImageFiles(ImageSource):
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

    @override
    def __len__(self) -> int:
        return len(self.names)

    @override
    def name(self, position: int) -> str:
        return self.names[position]

    @override
    def open(self, position: int) -> "Image.Image":
        from PIL import Image

        return Image.open(self.folder / self.names[position])

    @override
    def depends_on(self) -> list[Any]:
        return [self.names, self.stamps]


def cached_path(
    source: ImageSource, shape: tuple[int, int, int], cache_dir: Path, *, resizes: bool = True
) -> Path:
    """Where the decoded images are kept, or will be."""
    from runwright.domains.vision.decoding import DECODER

    depends_on = json.dumps([DECODER, shape, resizes, source.depends_on()])
    key = hashlib.sha256(depends_on.encode()).hexdigest()[:16]
    return cache_dir / f"{shape[-1]}px-{key}.npy"


def decoded_images(
    source: ImageSource, shape: tuple[int, int, int], cache_dir: Path, *, resizes: bool = True
) -> NDArray[np.uint8]:
    """The images, decoded now unless they are in the cache.

    Args:
        source: the images.
        shape: (C, H, W) of each.
        cache_dir: the folder of the cache.
        resizes: whether they are resized and cropped to that shape, or all have it.

    Returns:
        A read-only memory map of shape (N, C, H, W).

    Raises:
        UserError: images are broken or differ in size, or there is no room for the decoded ones.
    """
    whole = (len(source), *shape)
    path = cached_path(source, shape, cache_dir, resizes=resizes)
    was_there = path.exists()
    try:
        made_once(
            path,
            lambda partial: _decode(source, whole, partial, resizes=resizes),
            what="decoding the same images",
        )
    except OSError as error:
        raise UserError(_cannot_keep(cache_dir, whole, str(error))) from error
    if not was_there:
        log.info("%s", _kept(path))
    return mapped_array(path, whole)


def _decode(
    source: ImageSource, shape: tuple[int, int, int, int], path: Path, *, resizes: bool
) -> None:
    _check_room(path.parent, shape)
    offset = make_empty_array(path, shape, np.uint8)
    broken = _decode_all(source, shape[1:], path, offset, resizes=resizes)
    if broken:
        raise UserError(_broken_images(source, broken))


def _decode_all(
    source: ImageSource, shape: tuple[int, int, int], array: Path, offset: int, *, resizes: bool
) -> dict[int, Exception]:
    """Decode all images into the array whose data begin at `offset`, on all cores.

    In threads: Pillow releases the GIL while it decodes and resizes. Processes would have to be
    kept from importing the user's script, and ended when this one is killed.

    Returns:
        Why an image could not be decoded, by its number.
    """
    from PIL import Image

    from runwright.domains.vision.decoding import pixels_of

    count = len(source)
    title = f"Decoding {count:,} images to {shape[2]}×{shape[1]} pixels"

    def decode(first: int) -> dict[int, Exception]:
        broken: dict[int, Exception] = {}
        positions = range(first, min(first + _CHUNK, count))
        decoded = np.zeros((len(positions), *shape), dtype=np.uint8)
        for position in positions:
            try:
                with source.open(position) as image:
                    decoded[position - first] = pixels_of(image, shape, resizes=resizes)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                broken[position] = error
        with array.open("r+b") as file:
            file.seek(offset + first * math.prod(shape))
            file.write(decoded.data)
        bar.update(len(positions))
        return broken

    log.info("%s …", title)
    started = time.monotonic()
    broken: dict[int, Exception] = {}
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
        size=f"{shape[3]}×{shape[2]}",
        needed=math.prod(shape) / 2**30,
        folder=folder,
        problem=problem,
    )


def _broken_images(source: ImageSource, broken: dict[int, Exception]) -> str:
    from runwright.domains.vision.decoding import WrongSizeError

    wrong_size = sum(isinstance(error, WrongSizeError) for error in broken.values())
    count, whole = f"{len(broken):,} of the {len(source):,} images", f"in {source.folder}"
    what = "differ in size" if wrong_size == len(broken) else "are broken"
    shown = [f"  {source.name(item)}: {broken[item]}" for item in sorted(broken)[:10]]
    rest = len(broken) - len(shown)
    return "\n".join(
        [
            f"{count} {whole} {what}:",
            *shown,
            *([f"  … and {rest} more"] if rest else []),
            *([_RESIZE] if wrong_size else []),
            *([source.next_step] if wrong_size < len(broken) else []),
        ]
    )
