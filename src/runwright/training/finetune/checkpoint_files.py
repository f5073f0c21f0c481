"""What is in a file of weights: safetensors, or what `torch.save` and Lightning write."""

import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import Any, Final

import torch

from runwright.errors import UserError
from runwright.rundir.tensor_files import read_weights
from runwright.training.finetune import restricted_pickle

_ZIP: Final = b"PK\x03\x04"
_PICKLE: Final = b"\x80"


def read_checkpoint(path: Path) -> Any:
    """What a file holds: of safetensors, tensors by name; of a pickle, plain containers of tensors.

    The tensors are read when they are used, where the format allows it. Nothing in the file is
    executed; what is neither a tensor nor a plain container is a `Foreign` object.

    Raises:
        UserError: it is none of these files, or damaged.
    """
    try:
        with path.open("rb") as file:
            begins = file.read(4)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}.") from error
    if begins == _ZIP:
        _refuse_programs(path)
        return _unpickled(path, mmap=True)
    if begins.startswith(_PICKLE):
        return _unpickled(path, mmap=False)
    if _is_tar(path):
        raise UserError(
            f"{path} is in a format that torch wrote before version 0.1.10; save it anew with a "
            "torch that reads it."
        )
    try:
        return read_weights(path)
    except UserError as error:
        raise UserError(
            f"{path} is not a complete .safetensors, .pth, .pt or .ckpt file: "
            f"{error.__cause__ or error}."
        ) from error


def _unpickled(path: Path, *, mmap: bool) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes whose source is not here
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
        said = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        raise UserError(f"{path} cannot be read as a torch file: {said}.") from error


def _refuse_programs(path: Path) -> None:
    """Refuse a file of torch.jit, which is a program with weights in it, before torch reads it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a complete file: {error}.") from error
    if "constants.pkl" in names:
        raise UserError(
            f"{path} is a TorchScript program, which is not run. Save only its weights: "
            f"torch.save(torch.jit.load({path.name!r}).state_dict(), 'weights.pth')"
        )
    if "data.pkl" not in names:
        raise UserError(f"{path} is a zip file that was not written by torch.save.")


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except OSError:
        return False
