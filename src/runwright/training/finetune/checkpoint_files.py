"""Reading a file of weights: safetensors, or what `torch.save` and Lightning write."""

import json
import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import Any, Final

import torch

from runwright.errors import UserError
from runwright.rundir.tensor_files import DamagedCheckpointError, read_weights
from runwright.training.finetune import restricted_pickle

_ZIP: Final = b"PK\x03\x04"
_PICKLE: Final = b"\x80"


def read_checkpoint(path: Path) -> Any:
    """Read a file: tensors by name from safetensors, plain containers of tensors from a pickle.

    Where the format allows it, a tensor is only read when it is used. Nothing in the file is
    executed; anything other than a tensor or a plain container becomes a `Foreign` object.

    Raises:
        UserError: the file is damaged or in another format.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}.") from error
    if start == _ZIP:
        _refuse_programs(path)
        return _unpickled(path, mmap=True)
    if start.startswith(_PICKLE):
        return _unpickled(path, mmap=False)
    if _is_tar(path):
        raise UserError(
            f"{path} is in a format from before torch 0.1.10. Load it with a torch that can still "
            "read it, and save it again."
        )
    try:
        return read_weights(path)
    except UserError as error:
        _refuse_index(path)
        cause = error.__cause__
        reason = cause.what if isinstance(cause, DamagedCheckpointError) else error
        raise UserError(
            f"{path} is not a complete .safetensors, .pth, .pt or .ckpt file: {reason}."
        ) from error


def _unpickled(path: Path, *, mmap: bool) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about classes whose source code is missing
            return torch.load(
                str(path),
                map_location="cpu",
                pickle_module=restricted_pickle,
                weights_only=False,
                mmap=mmap,
            )
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}.") from error
    except Exception as error:  # a damaged pickle fails in many ways
        reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        raise UserError(f"{path} cannot be read as a torch file: {reason}.") from error


def _refuse_programs(path: Path) -> None:
    """Refuse a torch.jit file, which is a program with weights in it, before torch reads it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a complete file: {error}.") from error
    if "constants.pkl" in names:
        raise UserError(
            f"{path} is a TorchScript program, which runwright does not run. Save only its "
            f"weights: torch.save(torch.jit.load({path.name!r}).state_dict(), 'weights.pth')"
        )
    if "data.pkl" not in names:
        raise UserError(f"{path} is a zip file that was not written by torch.save.")


def _refuse_index(path: Path) -> None:
    """Refuse `model.safetensors.index.json`, which says in which files the tensors are."""
    try:
        files = sorted({*json.loads(path.read_text())["weight_map"].values()})
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return
    first, *others = (path.with_name(name) for name in files)
    more = ", ".join(f"{{checkpoint: {one}}}" for one in others)
    raise UserError(
        f"{path} has no weights; it says in which files they are. Give these instead: "
        f"'finetune.checkpoint={first}' 'finetune.additional=[{more}]'"
    )


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except OSError:
        return False
