"""A stand-in for CelebA: cartoon faces with some of its attributes, in its own layout.

Image i is a function only of the seed, the correlation and i, so a larger set begins with the same
images.
"""

import itertools
import logging
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from tqdm import tqdm

from runwright import UserError
from runwright.domains.vision.cartoon import HAIR, draw_face
from runwright.domains.vision.celeba_attributes import CelebAttr
from runwright.domains.vision.celeba_layout import ATTRIBUTES, IMAGES, PARTITION, SIMULATED

log = logging.getLogger(__name__)

_MARKER: Final = """\
These are not CelebA: the images in this folder are cartoons that `python -m runwright simulate
celeba` drew to try things out and to teach. To use the real CelebA, delete this folder.

What was drawn: --num-images {num_images} --seed {seed} --correlation {correlation}
Faces differ in {drawn}; no face has another attribute.
"""

# Shares in CelebA's list_attr_celeba.txt.
_MALE, _BLOND = 0.417, 0.148
_SHARES: Final = {
    CelebAttr.YOUNG: (0.86, 0.65),
    CelebAttr.SMILING: (0.54, 0.40),
    CelebAttr.MOUTH_SLIGHTLY_OPEN: (0.54, 0.41),
    CelebAttr.WEARING_LIPSTICK: (0.80, 0.01),
    CelebAttr.NO_BEARD: (1.00, 0.60),
    CelebAttr.EYEGLASSES: (0.02, 0.13),
    CelebAttr.WEARING_HAT: (0.03, 0.08),
    CelebAttr.BLACK_HAIR: (0.29, 0.29),
    CelebAttr.BROWN_HAIR: (0.37, 0.30),
    CelebAttr.GRAY_HAIR: (0.02, 0.12),
}
"""The shares of women and of men that have an attribute."""
DRAWN: Final = (CelebAttr.MALE, CelebAttr.BLOND_HAIR, *_SHARES)

# Three of every five images are for training, one for validation and one for testing: of two
# thousand images only 17 are blond men, and every part must have some.
_PARTS: Final = (0, 1, 0, 2, 0)


def simulate_celeba(root: Path, *, num_images: int, seed: int, correlation: float) -> Path:
    """Draw a stand-in for CelebA.

    Args:
        root: the folder in which to make a folder `celeba`.
        num_images: how many faces to draw.
        seed: other seeds draw other faces.
        correlation: how strongly blond hair correlates with not being male: 0 not at all, 0.86 as
            in CelebA (2 % of the men and 24 % of the women are blond), 1 means no man is blond.

    Returns:
        The folder with the images; if the same images are already there, they are kept.

    Raises:
        UserError: something else is there, or the folder cannot be written to.
    """
    folder = root / "celeba"
    drawn = ", ".join(attribute.value for attribute in DRAWN)
    marker = _MARKER.format(num_images=num_images, seed=seed, correlation=correlation, drawn=drawn)
    if (folder / SIMULATED).exists() and (folder / SIMULATED).read_text() == marker:
        log.info("The same simulated images are already in %s.", folder)
        return folder
    _refuse_occupied(folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
        # Moved into place only when complete: an interrupted simulation leaves nothing behind.
        with tempfile.TemporaryDirectory(dir=root, prefix=".celeba-") as scratch:
            unfinished = Path(scratch) / "celeba"
            (unfinished / IMAGES).mkdir(parents=True)
            _write(unfinished, num_images, seed, correlation)
            (unfinished / SIMULATED).write_text(marker)
            _refuse_occupied(folder)
            unfinished.replace(folder)
    except OSError as error:
        raise UserError(f"Simulated images cannot be written to {folder}: {error}") from error
    return folder


def _refuse_occupied(folder: Path) -> None:
    content = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if content:
        other = "images that were simulated with other options"
        shown = other if SIMULATED in content else ", ".join(content[:5])
        raise UserError(
            f"{folder} is not empty: it holds {shown}. Nothing was written. Choose another --root, "
            "or delete the folder if it is not needed."
        )


def _write(folder: Path, num_images: int, seed: int, correlation: float) -> None:
    names = [f"{item + 1:06d}.jpg" for item in range(num_images)]
    faces: list[frozenset[CelebAttr]] = []
    for item, name in enumerate(tqdm(names, "Drawing faces", disable=not sys.stderr.isatty())):
        rng = np.random.default_rng([seed, item])
        faces.append(draw_attributes(rng, correlation))
        draw_face(faces[-1], rng).save(folder / IMAGES / name, quality=90)
    rows = [" ".join(f"{1 if a in has else -1:2d}" for a in CelebAttr) for has in faces]
    # The space at the end of the second line is CelebA's.
    header = f"{num_images}\n{' '.join(attribute.value for attribute in CelebAttr)} \n"
    (folder / ATTRIBUTES).write_text(header + _lines(names, rows))
    (folder / PARTITION).write_text(_lines(names, partition(faces)))


def _lines(names: Sequence[str], values: Sequence[object]) -> str:
    return "".join(f"{name} {value}\n" for name, value in zip(names, values, strict=True))


def partition(faces: Sequence[frozenset[CelebAttr]]) -> list[int]:
    """The part (0 train, 1 validation, 2 test) of each face.

    The faces of each sex and hair colour, blond or not, are dealt out in turn, so that all parts
    have the same share of them.
    """
    parts = defaultdict[tuple[bool, bool], Iterator[int]](lambda: itertools.cycle(_PARTS))
    return [next(parts[CelebAttr.MALE in has, CelebAttr.BLOND_HAIR in has]) for has in faces]


def draw_attributes(rng: np.random.Generator, correlation: float) -> frozenset[CelebAttr]:
    """Draw the attributes of one face, with about the frequencies of men and women in CelebA."""
    # The overall share of blond people is the same for every correlation: women make up for men.
    blond_men = _BLOND * (1 - correlation)
    blond_women = (_BLOND - _MALE * blond_men) / (1 - _MALE)
    shares = {CelebAttr.BLOND_HAIR: (blond_women, blond_men), **_SHARES}
    male = bool(rng.random() < _MALE)
    has = {attribute for attribute, share in shares.items() if rng.random() < share[male]}
    has.difference_update([color for color in HAIR if color in has][1:])
    return frozenset(has | {CelebAttr.MALE} if male else has)
