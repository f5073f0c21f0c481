"""What a training makes of its data, and what comes later reads: a vocabulary, the categories."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from runwright.atomic_files import write_bytes
from runwright.errors import UserError

KEPT: Final = "kept"
"""The folder of a run directory that has it."""


def kept_with(weights: Path) -> Path:
    """The folder with what the training of these weights has kept; a file, or a run directory."""
    home = weights if weights.is_dir() else weights.parent
    return (home.parent if home.name == "checkpoints" else home) / KEPT


def differing(weights: Path, training_dir: Path) -> list[str]:
    """The names under which the training of these weights has kept something else than this one."""
    return sorted(
        file.stem
        for file in kept_with(weights).glob("*.json")
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
            raise UserError(
                f"{file} is not there. A training keeps in it what new data are read with: "
                "copy it from where the weights were trained, or train again."
            )
        text = json.dumps(make(), ensure_ascii=False, allow_nan=False)
        write_bytes(file, f"{text}\n".encode())
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is not as the training wrote it: {error}.") from error
