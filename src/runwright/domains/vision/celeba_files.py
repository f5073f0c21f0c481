"""CelebA's files: whether all are there, and how to get what is missing."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from runwright import UserError, require_extra
from runwright.domains.vision.celeba_layout import (
    ATTRIBUTES,
    HOMEPAGE,
    IMAGES,
    NUM_IMAGES,
    PARTITION,
    SIMULATED,
    next_step,
)
from runwright.domains.vision.image_cache import ImageFiles

log = logging.getLogger(__name__)


def image_files(folder: Path, names: Sequence[str]) -> ImageFiles:
    """The images that the attribute file lists, as they are on the disk.

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


def require_files(folder: Path, root: Path) -> None:
    """Make sure that everything that will be read exists.

    Raises:
        UserError: it does not; says what should be there, and how to get it.
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
            "To try things out without CelebA, draw a stand-in, cartoon faces with some of its "
            f"attributes: python -m runwright simulate celeba --root {root}",
        )
    raise UserError(f"dm=celeba looked in {folder.resolve()}:\n{listed}\n{advice}")


def download(root: Path) -> None:
    """Let torchvision fetch what is missing.

    Raises:
        UserError: it could not.
    """
    folder = root / "celeba"
    if not _missing(folder):
        return
    if (folder / SIMULATED).exists():
        raise UserError(
            f"dm.download=true: {folder} holds the remains of simulated images. Delete it first."
        )
    require_extra("torchvision", "vision", "dm.download=true")
    from torchvision.datasets import CelebA

    log.info("Downloading CelebA to %s …", folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".celeba-download.lock"):
            CelebA(str(root), download=True)
    except Exception as error:  # torchvision and gdown raise all kinds of errors
        reason = str(error).strip() or type(error).__name__
        raise UserError(
            f"dm.download=true: CelebA could not be fetched to {folder.resolve()}: {reason}\n"
            f"Google limits how often it may be downloaded. Get {ATTRIBUTES}, {PARTITION} and "
            f"{IMAGES}.zip (to be unpacked there) from {HOMEPAGE}."
        ) from error
