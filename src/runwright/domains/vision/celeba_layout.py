"""Reading CelebA's own files, as torchvision lays them out under `root/celeba`."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from runwright import UserError
from runwright.domains.vision.celeba_attributes import CelebAttr

HOMEPAGE: Final = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
NUM_IMAGES: Final = 202_599

IMAGES: Final = "img_align_celeba"
ATTRIBUTES: Final = "list_attr_celeba.txt"
PARTITION: Final = "list_eval_partition.txt"
SIMULATED: Final = "SIMULATED.txt"
"""The file next to the others if they are not CelebA's."""

_DRAWN: Final = re.compile(r"^What was drawn: (.*)$", re.MULTILINE)


def next_step(folder: Path, real: str) -> str:
    """What to do about files that are missing or broken.

    Args:
        folder: where they should be.
        real: the advice for the real CelebA; simulated images can be drawn again instead.
    """
    marker = folder / SIMULATED
    if not marker.exists():
        return real
    command = ["python", "-m", "runwright", "simulate", "celeba", "--root", str(folder.parent)]
    if drawn := _DRAWN.search(marker.read_text(errors="replace")):
        command += drawn[1].split()
    return (
        f"The images are simulated: delete {folder} and draw them again with\n"
        f"  {shlex.join(command)}"
    )


def _again(path: Path) -> str:
    return next_step(path.parent, f"Get it again from {HOMEPAGE}.")


def read_attributes(
    folder: Path, wanted: Sequence[CelebAttr]
) -> tuple[list[str], NDArray[np.bool_]]:
    """Read attributes of all images.

    Returns:
        The names of the N images, and which of the `wanted` attributes they have: (N, K).

    Raises:
        UserError: the file is not in CelebA's format.
    """
    path = folder / ATTRIBUTES
    lines = _lines(path)
    if len(lines) < 3 or not lines[0].strip().isdecimal():
        raise UserError(
            f"{path} is broken: it should begin with the number of images, then the names of the "
            f"40 attributes, then a line for each image. {_again(path)}"
        )
    columns = lines[1].split()
    if absent := [a.value for a in CelebAttr if a.value not in columns]:
        raise UserError(
            f"{path} is broken: its second line names {len(columns)} attributes and lacks "
            f"{', '.join(absent)}. {_again(path)}"
        )
    if len(lines) - 2 != int(lines[0]):
        raise UserError(
            f"{path} is broken: it announces {int(lines[0]):,} images and lists "
            f"{len(lines) - 2:,}. {_again(path)}"
        )
    taken = [columns.index(attribute.value) + 1 for attribute in wanted]
    values: dict[str, list[bool]] = {}
    for number, line in enumerate(lines[2:], start=3):
        row = line.split()
        if len(row) != len(columns) + 1 or row[0] in values:
            raise UserError(
                f"{path} is broken: line {number} should be the name of another image and "
                f"{len(columns)} values, and is '{line[:60]}'. {_again(path)}"
            )
        chosen = [row[column] for column in taken]
        if not {"-1", "1"}.issuperset(chosen):
            raise UserError(
                f"{path} is broken: line {number} has {', '.join(chosen)} where there should be 1 "
                f"or -1. {_again(path)}"
            )
        values[row[0]] = [value == "1" for value in chosen]
    return list(values), np.array(list(values.values()))


def read_partition(folder: Path, names: Sequence[str]) -> NDArray[np.int64]:
    """Read which part each of the named images belongs to: 0 train, 1 validation, 2 test.

    Raises:
        UserError: the file is not in CelebA's format, or does not list these images.
    """
    path = folder / PARTITION
    part_of: dict[str, str] = {}
    for number, line in enumerate(_lines(path), start=1):
        match line.split():
            case [name, ("0" | "1" | "2") as part]:
                part_of[name] = part
            case _:
                raise UserError(
                    f"{path} is broken: line {number} should be the name of an image and 0, 1 or "
                    f"2, and is '{line[:60]}'. {_again(path)}"
                )
    if part_of.keys() != set(names):
        differing = sorted(part_of.keys() ^ set(names))
        raise UserError(
            f"{path} lists {len(part_of):,} images and {folder / ATTRIBUTES} {len(names):,}; "
            f"{len(differing):,} are in one of them only, the first is {differing[0]}. "
            + next_step(folder, f"They belong together; get both from {HOMEPAGE}.")
        )
    return np.array([part_of[name] for name in names], dtype=np.int64)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}. {_again(path)}") from error
