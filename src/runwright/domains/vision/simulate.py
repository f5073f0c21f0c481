"""A stand-in for CelebA: cartoon faces with its attributes, in its own layout.

Image i is a function of the seed, the correlation and i alone, so that more images begin with the
same ones.
"""

import json
import logging
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from runwright.domains.vision.cartoon.attributes import draw_attributes
from runwright.domains.vision.cartoon.portrait import draw_portrait
from runwright.domains.vision.celeba_attributes import CelebAttr
from runwright.domains.vision.celeba_layout import IMAGES, SIMULATED, write_lists
from runwright.domains.vision.workers import WorkerError, serve, work_in_processes
from runwright.errors import UserError

log = logging.getLogger(__name__)

_MARKER: Final = """\
These are not CelebA: the images in this folder are cartoons that `python -m runwright simulate
celeba` drew, in the layout of CelebA, to try things out and to teach. Results on them say nothing
about faces. To use the real CelebA delete this folder and put the real one in its place.

What was drawn: --num-images {num_images} --seed {seed} --correlation {correlation}

torchvision.datasets.CelebA compares the MD5 sums of the text files with those of the real ones and
so refuses to read these; a subclass whose `_check_integrity` returns True reads them. Every image
shows another person; bounding boxes refer to the images that are here.
"""

_OCCUPIED: Final = (
    "{folder} is not empty: it holds {content}. Nothing was written: simulated images never take "
    "the place of others. Choose another --root, or delete the folder if it is not needed."
)

# Three of five images are for training, one for validation and one for testing: of two thousand
# images only 17 are blond men, and every part must have some.
_PARTS: Final = (0, 1, 0, 2, 0)


def simulate_celeba(root: Path, *, num_images: int, seed: int, correlation: float) -> Path:
    """Draw a stand-in for CelebA.

    Args:
        root: the folder in which to make a folder `celeba`.
        num_images: how many faces to draw.
        seed: other seeds draw other faces.
        correlation: how strongly blond hair goes with not being male, from 0 to 1.

    Returns:
        The folder that the images are in; if the same images are already there, they are kept.

    Raises:
        UserError: something else is there, or the folder cannot be written to.
    """
    folder = root / "celeba"
    marker = _MARKER.format(num_images=num_images, seed=seed, correlation=correlation)
    if (folder / SIMULATED).exists() and (folder / SIMULATED).read_text() == marker:
        log.info("The same simulated images are already in %s.", folder)
        return folder
    _refuse_occupied(folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
        # In place only when it is whole: a simulation that is interrupted leaves nothing behind.
        with tempfile.TemporaryDirectory(
            dir=root, prefix=".celeba-", ignore_cleanup_errors=True
        ) as scratch:
            unfinished = Path(scratch) / "celeba"
            (unfinished / IMAGES).mkdir(parents=True)
            _draw(unfinished, num_images, seed, correlation)
            (unfinished / SIMULATED).write_text(marker)
            _refuse_occupied(folder)
            unfinished.replace(folder)
    except (OSError, WorkerError) as error:
        raise UserError(f"Simulated images cannot be written to {folder}: {error}") from error
    return folder


def _refuse_occupied(folder: Path) -> None:
    content = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if content:
        shown = ", ".join(content[:5]) + (", …" if len(content) > 5 else "")
        if SIMULATED in content:
            shown = "images that were simulated with other options"
        raise UserError(_OCCUPIED.format(folder=folder, content=shown))


def _draw(folder: Path, num_images: int, seed: int, correlation: float) -> None:
    job = {"folder": str(folder.resolve()), "seed": seed, "correlation": correlation}
    title = f"Drawing {num_images:,} faces"
    messages = work_in_processes(
        "runwright.domains.vision.simulate", job, num_items=num_images, title=title
    )
    geometry = [json.loads(messages[item]) for item in range(num_images)]
    attributes = {
        image_name(item): draw_attributes(_generator(seed, item), correlation)
        for item in range(num_images)
    }
    write_lists(
        folder,
        attributes=attributes,
        partition=partition(list(attributes.values())),
        boxes=[box for box, _ in geometry],
        landmarks=[landmarks for _, landmarks in geometry],
    )


def partition(faces: list[frozenset[CelebAttr]]) -> list[int]:
    """The part (0 train, 1 validation, 2 test) of each face.

    The faces of each sex and hair, blond or not, are dealt out in turn, so that all parts have the
    same share of them.
    """
    dealt: Counter[tuple[bool, bool]] = Counter()
    parts: list[int] = []
    for has in faces:
        group = (CelebAttr.MALE in has, CelebAttr.BLOND_HAIR in has)
        parts.append(_PARTS[dealt[group] % len(_PARTS)])
        dealt[group] += 1
    return parts


def image_name(item: int) -> str:
    """The name of the image with this number, counted from 0."""
    return f"{item + 1:06d}.jpg"


def draw_chunk(job: Mapping[str, Any], items: range) -> dict[int, str]:
    """Draw some of the faces and write them as JPEG files.

    Args:
        job: the `folder` with CelebA's layout, `seed` and `correlation`.
        items: the numbers of the images.

    Returns:
        The box and the landmarks of each face, as JSON.
    """
    geometry: dict[int, str] = {}
    for item in items:
        rng = _generator(job["seed"], item)
        portrait = draw_portrait(draw_attributes(rng, job["correlation"]), rng)
        path = Path(job["folder"]) / IMAGES / image_name(item)
        portrait.image.save(path, quality=int(rng.integers(70, 96)))
        geometry[item] = json.dumps([portrait.box, portrait.landmarks])
    return geometry


def _generator(seed: int, item: int) -> np.random.Generator:
    return np.random.default_rng([seed, item])


if __name__ == "__main__":
    serve(draw_chunk)
