"""What a training makes of its data, and what comes later reads: a vocabulary, the categories."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runwright.errors import UserError
from runwright.storage.atomic_files import write_bytes

if TYPE_CHECKING:
    from torch import Tensor

KEPT: Final = "kept"
"""The folder of a run directory that has it."""
KEPT_SUFFIXES: Final = (".json", ".safetensors")


def kept_with(weights: Path) -> Path:
    """The folder with what the training of these weights has kept; a file, or a run directory."""
    home = weights if weights.is_dir() else weights.parent
    return (home.parent if home.name == "checkpoints" else home) / KEPT


def kept_files(weights: Path) -> Iterator[Path]:
    """The files that the training of these weights has kept."""
    folder = kept_with(weights)
    for suffix in KEPT_SUFFIXES:
        yield from folder.glob(f"*{suffix}")


def differing(weights: Path, training_dir: Path) -> list[str]:
    """The names under which the training of these weights has kept something else than this one."""
    return sorted(
        file.name
        for file in kept_files(weights)
        if (own := training_dir / KEPT / file.name).exists()
        and own.read_bytes() != file.read_bytes()
    )


def kept(training_dir: Path, name: str, make: Callable[[], Any] | None) -> Any:
    """Read what was kept under a name; make it and keep it where it is not there yet.

    Args:
        training_dir: the directory of the training.
        name: what it is called, without `.json`.
        make: makes it, of what JSON has; None where it should be there.

    Raises:
        UserError: it is not there, or damaged.
    """
    file = training_dir / KEPT / f"{name}.json"
    if not file.exists():
        if make is None:
            raise _is_missing(file)
        text = json.dumps(make(), ensure_ascii=False, allow_nan=False)
        write_bytes(file, f"{text}\n".encode())
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _is_damaged(file, error) from error


def kept_tensors(
    training_dir: Path, name: str, make: "Callable[[], Mapping[str, Tensor]] | None"
) -> "dict[str, Tensor]":
    """The same for tensors by name, on the CPU; see `kept`.

    Raises:
        UserError: they are not there, or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load, save

    file = training_dir / KEPT / f"{name}.safetensors"
    if not file.exists():
        if make is None:
            raise _is_missing(file)
        write_bytes(file, save({key: one.cpu().contiguous() for key, one in make().items()}))
    try:
        return load(file.read_bytes())
    except SafetensorError as error:
        raise _is_damaged(file, error) from error


def _is_missing(file: Path) -> UserError:
    return UserError(
        f"{file} is not there. A training keeps in it what new data are read with: "
        "copy it from where the weights were trained, or train again."
    )


def _is_damaged(file: Path, error: Exception) -> UserError:
    return UserError(f"{file} is not as the training wrote it: {error}.")
