"""CelebA: faces with 40 attributes (Liu et al. 2015, https://arxiv.org/abs/1411.7766)."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray

from runwright.data import Data
from runwright.domains.vision.batch import ImageBatch
from runwright.domains.vision.celeba_layout import (
    ATTRIBUTES,
    HOMEPAGE,
    IMAGES,
    NUM_IMAGES,
    PARTITION,
    SIMULATED,
    next_step,
    read_attributes,
    read_partition,
)
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.image_cache import ImageFiles, decoded_images
from runwright.domains.vision.mapped import MappedImages
from runwright.domains.vision.pictures import draw_image_grid
from runwright.errors import UserError
from runwright.extras import require_extra
from runwright.runtime import Runtime

if TYPE_CHECKING:
    from runwright.domains.vision.choices import CelebADataModule

log = logging.getLogger(__name__)

_TRAIN, _VAL, _TEST = 0, 1, 2

# Measuring needs no small batches: this many pixels fill a core or a GPU, and little memory.
_EVAL_PIXELS: Final = 2**21


def celeba(options: "CelebADataModule", runtime: Runtime) -> Data[ImageDims, ImageBatch]:
    """Read the attributes, decode the images unless that was done before, and split them.

    Raises:
        UserError: CelebA is missing or broken.
    """
    require_extra("PIL", "vision", "dm=celeba")
    folder = options.root / "celeba"
    if options.download:
        _download(options.root)
    _require(folder, options.root)
    if (folder / SIMULATED).exists():
        log.info("The images in %s are simulated: cartoon faces, not CelebA.", folder)
    names, values = read_attributes(folder, [options.superclass, options.subclass])
    superclass, subclass = values.astype(np.int64).T
    partition = _partition(options, read_partition(folder, names))
    cache_dir = options.cache_dir or folder / "cache"
    images = decoded_images(_image_files(folder, names), options.default_res, cache_dir)

    def split(part: int, batch_size: int, shuffle_seed: int | None) -> MappedImages:
        rows = np.flatnonzero(partition == part)
        return MappedImages(
            images,
            rows,
            labels=superclass[rows],
            groups=(2 * superclass + subclass)[rows],
            batch_size=batch_size,
            shuffle_seed=shuffle_seed,
            device=runtime.device,
        )

    dims = options.expected_dims()
    eval_batch = max(1, min(500, _EVAL_PIXELS // options.default_res**2))
    train = split(_TRAIN, options.batch_size, runtime.seed)
    val, test = (split(part, eval_batch, None) for part in (_VAL, _TEST))
    return Data(
        dims=dims,
        train=train,
        val=val if len(val) else None,
        test=test if len(test) else None,
        draw_examples=lambda path: _draw_examples(train, dims, path),
    )


def _draw_examples(train: MappedImages, dims: ImageDims, path: Path) -> None:
    examples = train.gather(torch.arange(min(40, len(train))))
    draw_image_grid(attrs.evolve(examples, image=examples.image / 255), dims, path)


def _partition(options: "CelebADataModule", official: NDArray[np.int64]) -> NDArray[np.int64]:
    """The part that each image belongs to: the official one, or a random one of the same sizes."""
    if options.split_seed is None:
        return official
    return np.random.default_rng(options.split_seed).permutation(official)


def _image_files(folder: Path, names: Sequence[str]) -> ImageFiles:
    """The images that the attribute file lists, as they lie on the disk.

    Raises:
        UserError: images are missing, or there are some that the attribute file does not list.
    """
    found: dict[str, tuple[int, int]] = {}
    with os.scandir(folder / IMAGES) as entries:
        for entry in entries:
            if entry.name.lower().endswith((".jpg", ".jpeg", ".png")):
                status = entry.stat()
                found[entry.name] = (status.st_size, status.st_mtime_ns)
    if missing := [name for name in names if name not in found]:
        raise UserError(
            f"{len(missing):,} of the {len(names):,} images that {folder / ATTRIBUTES} lists are "
            f"not in {folder / IMAGES}: {_first(missing)}. "
            + next_step(folder, f"Unpack {IMAGES}.zip again; it is at {HOMEPAGE}.")
        )
    if len(found) > len(names):
        unlisted = sorted(found.keys() - set(names))
        raise UserError(
            f"{len(unlisted):,} of the {len(found):,} images in {folder / IMAGES} are not listed "
            f"in {folder / ATTRIBUTES}: {_first(unlisted)}. "
            + next_step(
                folder,
                "The two belong to different releases, or the list is cut short; both are at "
                f"{HOMEPAGE}.",
            )
        )
    return ImageFiles(
        folder=folder / IMAGES,
        names=tuple(names),
        stamps=tuple(found[name] for name in names),
        next_step=next_step(folder, "Unpack or download them again."),
    )


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "")


def _missing(folder: Path) -> list[str]:
    return [name for name in (ATTRIBUTES, PARTITION, IMAGES) if not (folder / name).exists()]


def _require(folder: Path, root: Path) -> None:
    """Make sure that everything is there that will be read.

    Raises:
        UserError: it is not; says what should be there, and how to get it.
    """
    missing = _missing(folder)
    if not missing:
        return
    count = "" if (folder / SIMULATED).exists() else f"{NUM_IMAGES:,} "
    needed = {
        ATTRIBUTES: "the attributes of every image",
        PARTITION: "which are for training, validation and testing",
        f"{IMAGES}/": f"the {count}images, aligned and cropped, as JPEG files",
    }
    state = {name: "missing" if name.rstrip("/") in missing else "found" for name in needed}
    listed = "\n".join(f"  {state[name]:8}{name:25}{what}" for name, what in needed.items())
    archive = folder / f"{IMAGES}.zip"
    if missing == [IMAGES] and archive.exists():
        advice = f"Unpack the images: unzip {archive} -d {folder}"
    else:
        advice = next_step(
            folder,
            f"Get them from {HOMEPAGE}, or let torchvision fetch them with dm.download=true.\n"
            "To try things out without CelebA, draw a small stand-in, cartoon faces with the same "
            f"attributes: python -m runwright simulate celeba --root {root}",
        )
    raise UserError(f"dm=celeba looked in {folder.resolve()}:\n{listed}\n{advice}")


def _download(root: Path) -> None:
    """Let torchvision fetch what is missing.

    Raises:
        UserError: it could not.
    """
    folder = root / "celeba"
    if not _missing(folder):
        return
    if (folder / SIMULATED).exists():
        raise UserError(
            f"dm.download=true: {folder} holds what is left of simulated images. Delete it first."
        )
    require_extra("torchvision", "vision", "dm.download=true")
    from torchvision.datasets import CelebA

    log.info("Downloading CelebA to %s …", folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".celeba-download.lock"):
            CelebA(str(root), download=True)
    except Exception as error:  # torchvision and gdown raise whatever went wrong on the way
        reason = str(error).strip() or type(error).__name__
        raise UserError(
            f"dm.download=true: CelebA could not be fetched to {folder.resolve()}: {reason}\n"
            f"Google limits how often it may be downloaded. Get {ATTRIBUTES}, {PARTITION} and "
            f"{IMAGES}.zip (to be unpacked there) from {HOMEPAGE}."
        ) from error
