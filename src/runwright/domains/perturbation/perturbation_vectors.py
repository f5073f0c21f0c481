"""The vectors of the perturbations: one-hot, or from a file."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch

from runwright import UserError

log = logging.getLogger(__name__)


def one_hot(count: int) -> torch.Tensor:
    """(count, count), a vector for each perturbation in the order of their names."""
    return torch.eye(count)


def refuse_missing(file: Path) -> None:
    """Make sure that the file with the vectors is there.

    Raises:
        UserError: it is not.
    """
    if not file.exists():
        raise UserError(f"dm.perturbation_features_file={file} does not exist.")


def from_file(
    path: Path, names: Sequence[str], *, control: str, allows_missing: bool
) -> torch.Tensor:
    """The vectors of perturbations from a file of `{name: vector}`.

    The control needs none: its vector is zero unless the file has one.

    Args:
        path: a `.safetensors` file, or a `.pt` file with a dictionary of tensors.
        names: the perturbations, in order.
        control: the name of the control.
        allows_missing: whether others may be missing; they are named, and zero.

    Returns:
        (len(names), P), float32.

    Raises:
        UserError: it cannot be read, or has no vector for some of them.
    """
    known = _read(path)
    if not known:
        raise UserError(f"{path} has no vectors.")
    lengths = {name: tuple(vector.shape) for name, vector in known.items()}
    shapes = set(lengths.values())
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        shown = ", ".join(f"{name} {shape}" for name, shape in list(lengths.items())[:3])
        raise UserError(
            f"{path}: the vectors of all perturbations must have one length, (P,), got {shown}."
        )
    missing = [name for name in names if name not in known and name != control]
    if missing:
        some = ", ".join(missing[:10]) + (", …" if len(missing) > 10 else "")
        said = f"{len(missing)} of {len(names)} perturbations have no vector in {path}: {some}."
        if not allows_missing:
            raise UserError(
                f"{said} Add them, leave these perturbations out of the data, or use "
                "dm.allow_missing_features=true, which takes zeros for them."
            )
        log.warning("%s They get zeros.", said)
    if control not in known:
        log.info("The control '%s' has no vector in %s; it gets zeros.", control, path)
    (length,) = next(iter(shapes))
    zeros = torch.zeros(length)
    vectors = torch.stack([known.get(name, zeros).float() for name in names])
    if not bool(vectors.isfinite().all()):
        wrong = [n for n, vector in zip(names, vectors, strict=True) if not vector.isfinite().all()]
        raise UserError(f"{path}: the vector of '{wrong[0]}' has values that are not finite.")
    return vectors


def _read(path: Path) -> dict[str, torch.Tensor]:
    refuse_missing(path)
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with cast("Any", safe_open)(path, framework="pt") as file:
                names: list[str] = file.keys()
                return {name: file.get_tensor(name) for name in names}
        except SafetensorError as error:
            raise UserError(f"{path} is not a readable safetensors file: {error}.") from error
    else:
        try:
            known: object = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a damaged or foreign file makes torch raise
            said = str(error).partition("\n")[0]  # the rest advises to execute what is in it
            raise UserError(f"{path} cannot be read as a dictionary of tensors: {said}") from error
    vectors = cast("dict[object, object]", known) if isinstance(known, dict) else {}
    wrong = [name for name, one in vectors.items() if not isinstance(one, torch.Tensor)]
    if not vectors or wrong:
        raise UserError(f"{path} must have a dictionary of tensors, {{perturbation: vector}}.")
    return {str(name): one for name, one in vectors.items() if isinstance(one, torch.Tensor)}
