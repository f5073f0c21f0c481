"""Reading torchvision's data sets: downloaded, decoded, and kept."""

import functools
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image
from typing_extensions import override

from runwright import UserError, write_bytes
from runwright.domains.vision.image_cache import ImageSource, cached_path, decoded_images
from runwright.domains.vision.labelled_images import LabelledImages
from runwright.domains.vision.torchvision_sets import TorchvisionSet

log = logging.getLogger(__name__)


class _Parts(ImageSource):
    """The images of all parts of a data set, one part after the other.

    Attributes:
        sizes: how many there are in each part; known without opening any if it is set.
    """

    def __init__(self, name: str, known: TorchvisionSet, root: Path) -> None:
        self.folder = root
        self.next_step = f"Delete {_listed(known, root)}, and fetch it anew with dm.download=true."
        self._name, self._known = name, known
        self._stamps = sorted(_stamps(known, root))
        self.sizes: dict[str, int] = {}

    @functools.cached_property
    def datasets(self) -> dict[str, Any]:
        """Torchvision's data sets by the name of the part."""
        return {part: self._read(arguments) for part, arguments in self._known.parts.items()}

    def _read(self, arguments: Mapping[str, Any]) -> Any:
        from torchvision import datasets

        try:
            return getattr(datasets, self._name)(str(self.folder), **arguments)
        except Exception as error:  # reading damaged files of any format raises all kinds of errors
            reason = str(error).strip() or type(error).__name__
            raise UserError(
                f"dm.name={self._name}: {reason}\nThe files in {self.folder.resolve()} are not "
                "those that torchvision knows: incomplete, damaged, or of another release. "
                f"{self.next_step}"
            ) from error

    @functools.cached_property
    def labels(self) -> NDArray[np.int64]:
        """The classes of those images that were opened, by position; −1 of others."""
        return np.full(len(self), -1, dtype=np.int64)

    @override
    def __len__(self) -> int:
        if not self.sizes:
            self.sizes = {part: len(dataset) for part, dataset in self.datasets.items()}
        return sum(self.sizes.values())

    @override
    def name(self, position: int) -> str:
        part, place = self._at(position)
        return f"image {place} of {part}"

    @override
    def open(self, position: int) -> Image.Image:
        part, place = self._at(position)
        image, self.labels[position] = self.datasets[part][place]
        return image

    def _at(self, position: int) -> tuple[str, int]:
        for part, size in self.sizes.items():
            if position < size:
                return part, position
            position -= size
        raise IndexError(position)

    @override
    def depends_on(self) -> list[Any]:
        return [self._name, self._stamps]

    def about(self) -> dict[str, Any]:
        """Sizes, labels and names of the classes, as JSON has them."""
        for position in np.flatnonzero(self.labels < 0).tolist():  # another process decoded them
            self.open(position).close()
        first = next(iter(self.datasets.values()))
        classes = getattr(first, "classes", None) or self._known.class_names
        names = None if classes is None else [str(name) for name in classes]
        return {"sizes": self.sizes, "labels": self.labels.tolist(), "classes": names}


def read_torchvision(
    name: str,
    known: TorchvisionSet,
    root: Path,
    *,
    shape: tuple[int, int, int],
    resizes: bool,
    cache_dir: Path,
    download: bool,
    has_groups: bool,
) -> LabelledImages:
    """Read a data set of torchvision, downloaded and decoded unless it is in the cache.

    Args:
        name: the name of torchvision's class.
        known: what is known of it.
        root: the folder that torchvision takes.
        shape: (C, H, W) of the decoded images.
        resizes: whether they are resized to it.
        cache_dir: where decoded images are kept.
        download: whether what is missing is fetched.
        has_groups: whether each class is a group.

    Raises:
        UserError: it cannot be fetched, is damaged, or cannot be kept.
    """
    source = _Parts(name, known, root)
    beside = cached_path(source, shape, cache_dir, resizes=resizes).with_suffix(".json")
    if download and not beside.exists():
        _fetch(name, known, root)
        source = _Parts(name, known, root)
        beside = cached_path(source, shape, cache_dir, resizes=resizes).with_suffix(".json")
    if beside.exists():
        source.sizes = json.loads(beside.read_bytes())["sizes"]  # so that nothing need be opened
    images = decoded_images(source, shape, cache_dir, resizes=resizes)
    if not beside.exists():
        write_bytes(beside, json.dumps(source.about()).encode())
    about = json.loads(beside.read_bytes())
    labels = np.array(about["labels"], dtype=np.int64)
    ends = np.cumsum(list(source.sizes.values()))
    parts: dict[str, NDArray[np.int64]] = {
        part: np.arange(end - size, end)
        for (part, size), end in zip(source.sizes.items(), ends.tolist(), strict=True)
    }
    names = None if about["classes"] is None else tuple(about["classes"])
    return LabelledImages(
        images=images,
        labels=labels,
        groups=labels if has_groups else np.zeros_like(labels),
        parts=parts,
        class_names=names,
        num_groups=known.num_classes if has_groups else 1,
        group_names=names if has_groups else None,
    )


def _fetch(name: str, known: TorchvisionSet, root: Path) -> None:
    """Let torchvision fetch what is missing; it compares checksums.

    It is asked although there are some files: a download that was cut short leaves some, too.

    Raises:
        UserError: it could not.
    """
    from torchvision import datasets

    if not all((root / file).exists() for file in known.files):
        log.info("Downloading %s to %s …", name, root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}-download.lock"):
            for arguments in known.parts.values():
                getattr(datasets, name)(str(root), **arguments, download=True)
    except Exception as error:  # torchvision raises all kinds of errors
        reason = str(error).strip() or type(error).__name__
        raise UserError(
            f"dm.download=true: {name} could not be fetched to {root.resolve()}: {reason}\n"
            "Repeat the command when there is a network, or fetch it on another machine, and copy "
            f"{_listed(known, root)} from there."
        ) from error


def _stamps(known: TorchvisionSet, root: Path) -> Iterator[tuple[str, int, int]]:
    """The name, the size in bytes and the time of the last change in ns of each file."""
    for name in known.files:
        path = root / name
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file():
                status = file.stat()
                yield str(file.relative_to(root)), status.st_size, status.st_mtime_ns


def _listed(known: TorchvisionSet, root: Path) -> str:
    return " and ".join(str(root / name) for name in known.files)
