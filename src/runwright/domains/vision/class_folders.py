"""Reading images from a folder for each class."""

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

import attrs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from runwright import UserError, did_you_mean
from runwright.domains.vision.decoding import size_of
from runwright.domains.vision.image_cache import ImageFiles, decoded_images
from runwright.domains.vision.labelled_images import LabelledImages

log = logging.getLogger(__name__)

_PARTS: Final = ("train", "val", "test")
_SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"),
)
_LAYOUT: Final = (
    "It must have a folder for each class, with the images in it: {root}/cat/1.jpg; or such "
    "folders in train/, and perhaps val/ and test/: {root}/train/cat/1.jpg."
)


@attrs.frozen(kw_only=True)
class _Found:
    """An image file.

    Attributes:
        name: its path below the root.
        kind: its class.
        group: the folder within the class that it is in, or "".
        stamp: its size in bytes and the time of its last change in ns.
    """

    name: str
    kind: str
    group: str
    stamp: tuple[int, int]


def parts_of(root: Path) -> dict[str, Path]:
    """The folders that hold those of the classes: `train` and others, or the root as `all`.

    Raises:
        UserError: there are none, or it is not clear which.
    """
    if not root.is_dir():
        raise UserError(
            f"dm.root={root}: there is no folder {root.resolve()}. " + _LAYOUT.format(root=root)
        )
    names = [path.name for path in _folders(root)]
    if not names:
        raise UserError(f"dm.root={root} has no folders. " + _LAYOUT.format(root=root))
    parts = {name: root / name for name in _PARTS if name in names}
    if not parts:
        return {"all": root}
    if others := [name for name in names if name not in _PARTS]:
        raise UserError(
            f"dm.root={root} has {next(iter(parts))}, which is a split, and {others[0]}, which is "
            f"none. {did_you_mean(others[0], _PARTS)} If these are all classes, put them into "
            f"{root}/train."
        )
    if "train" not in parts:
        raise UserError(f"dm.root={root} has {', '.join(parts)}, but no train/.")
    return parts


def read_class_folders(
    root: Path,
    *,
    res: int | None,
    greyscale: bool,
    test_prop: float,
    split_seed: int,
    groups: Literal["none", "class", "folder"],
    cache_dir: Path,
) -> LabelledImages:
    """Find the images, decode them unless they are cached, and say which part they are in.

    Args:
        root: the folder.
        res: width and height of the decoded images; None keeps the size that all have.
        greyscale: whether they have one channel.
        test_prop: the fraction to keep for testing, where the folder does not say which.
        split_seed: seeds the order in which these are drawn.
        groups: what the groups are.
        cache_dir: where decoded images are kept.

    Raises:
        UserError: there are no images, they are broken, or the classes of the parts differ.
    """
    found = {part: _images_of(folder, root) for part, folder in parts_of(root).items()}
    classes = _classes(found, root)
    images = [image for part in found.values() for image in part]
    files = ImageFiles(
        folder=root,
        names=tuple(image.name for image in images),
        stamps=tuple(image.stamp for image in images),
        next_step="Replace or delete these files.",
    )
    channels = 1 if greyscale else 3
    width, height = _common_size(files) if res is None else (res, res)
    labels = np.array([classes.index(image.kind) for image in images], dtype=np.int64)
    in_group, group_names = _groups(images, classes, labels, groups, root)
    return LabelledImages(
        images=decoded_images(files, (channels, height, width), cache_dir, resizes=res is not None),
        labels=labels,
        groups=in_group,
        parts=_rows(found, test_prop, split_seed),
        class_names=tuple(classes),
        num_groups=len(group_names) if group_names else 1,
        group_names=group_names,
    )


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, links to some included, but for hidden ones."""
    inner = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in inner if path.is_dir())


def _images_of(part: Path, root: Path) -> list[_Found]:
    """The images of each class in a part."""
    found: list[_Found] = []
    empty: list[str] = []
    ignored: list[str] = []
    for folder in _folders(part):
        count = len(found)
        for path in _files_in(folder, {folder.resolve()}):
            if path.suffix.lower() not in _SUFFIXES:
                ignored.append(str(path))
                continue
            try:
                status = path.stat()
            except OSError as error:
                raise UserError(f"{path} is a broken link. Restore or delete it.") from error
            inner = path.relative_to(folder).parts
            found.append(
                _Found(
                    name=path.relative_to(root).as_posix(),
                    kind=folder.name,
                    group=inner[0] if len(inner) > 1 else "",
                    stamp=(status.st_size, status.st_mtime_ns),
                )
            )
        if len(found) == count:
            empty.append(str(folder))
    if empty:
        raise UserError(
            f"There are no images in {', '.join(empty[:10])}. Delete such folders, or put images "
            f"into them: {', '.join(suffix[1:] for suffix in _SUFFIXES)}."
        )
    if ignored:
        count = len(ignored)
        what = "1 file that is no image:" if count == 1 else f"{count:,} files that are no images:"
        log.info("Ignored %s %s.", what, ", ".join(ignored[:3]) + ", …" * (count > 3))
    return found


def _files_in(folder: Path, above: set[Path]) -> Iterator[Path]:
    """The files in a folder and those below it, but for hidden ones; sorted by name.

    Raises:
        UserError: a link leads back to where it is.
    """
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            yield path
            continue
        real = path.resolve()
        if real in above:
            raise UserError(f"{path} is a link to a folder that it is in. Delete it.")
        yield from _files_in(path, {*above, real})


def _classes(found: Mapping[str, list[_Found]], root: Path) -> list[str]:
    """The names of the classes, sorted.

    Raises:
        UserError: parts have others than `train`, or there is only one.
    """
    by_part = {part: sorted({image.kind for image in images}) for part, images in found.items()}
    first, *others = by_part
    classes = by_part[first]
    for part in others:
        if unknown := [kind for kind in by_part[part] if kind not in classes]:
            raise UserError(
                f"{root / part} has the class '{unknown[0]}', which {root / first} does not have. "
                f"{did_you_mean(unknown[0], classes)}"
            )
        if missing := [kind for kind in classes if kind not in by_part[part]]:
            log.warning("%s has no images of %s.", root / part, ", ".join(missing[:10]))
    if len(classes) < 2:
        raise UserError(f"{root} has only one class, '{classes[0]}'. " + _LAYOUT.format(root=root))
    return classes


def _common_size(files: ImageFiles) -> tuple[int, int]:
    """The width and height of the first image, which the others must have."""
    try:
        with files.open(0) as image:
            return size_of(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{files.folder / files.names[0]} cannot be read: {error}") from error


def _groups(
    images: list[_Found],
    classes: list[str],
    labels: NDArray[np.int64],
    kind: Literal["none", "class", "folder"],
    root: Path,
) -> tuple[NDArray[np.int64], tuple[str, ...] | None]:
    """The group of each image, and the names of the groups, if there are any."""
    if kind == "none":
        return np.zeros_like(labels), None
    if kind == "class":
        return labels, tuple(classes)
    if outside := [image.name for image in images if not image.group]:
        raise UserError(
            f"dm.groups=folder: {root / outside[0]} is in no folder within its class, so it has no "
            "group."
        )
    pairs = sorted({(image.kind, image.group) for image in images})
    place = {pair: number for number, pair in enumerate(pairs)}
    groups = np.array([place[image.kind, image.group] for image in images], dtype=np.int64)
    return groups, tuple(f"{kind}, {group}" for kind, group in pairs)


def _rows(
    found: Mapping[str, list[_Found]], test_prop: float, split_seed: int
) -> dict[str, NDArray[np.int64]]:
    """The rows of each part; of the root as a whole, some are drawn for testing."""
    ends = np.cumsum([len(images) for images in found.values()]).tolist()
    rows: dict[str, NDArray[np.int64]] = {
        part: np.arange(end - len(images), end)
        for (part, images), end in zip(found.items(), ends, strict=True)
    }
    if "test" in rows:
        if test_prop:
            raise UserError(f"dm.test_prop={test_prop} must be 0: the folder test/ is there.")
        return rows
    pool = rows.pop("all", None)
    pool = rows.pop("train") if pool is None else pool
    drawn = np.random.default_rng([split_seed, 1]).permutation(pool)
    num_test = round(test_prop * len(pool))
    if num_test:
        rows["test"] = np.sort(drawn[:num_test])
    return {"train": np.sort(drawn[num_test:]), **rows}
