"""Files of tensors: safetensors with a digest; equal content gives equal bytes."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from runwright.errors import UserError
from runwright.storage.atomic_files import write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

Tensors: TypeAlias = "Mapping[str, torch.Tensor]"
Info: TypeAlias = dict[str, Any]


class DamagedCheckpointError(Exception):
    """A checkpoint file that cannot be read, or whose content does not match its digest."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self.what = what
        super().__init__(path, what)

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


def write_tensors(path: Path, tensors: Tensors, info: Info) -> str:
    """Write tensors and plain values to a safetensors file, atomically.

    Returns:
        The digest of the content.
    """
    from safetensors.torch import save

    unshared = _unshared(tensors)
    text = json.dumps(info)  # unsorted: measures keep their order, losses theirs
    digest = _digest(unshared, text)
    content = save(unshared, {"format": "pt", "info": text, "digest": digest})
    write_bytes(path, *_with_sorted_header(content))
    return digest


def read_tensors(path: Path) -> "tuple[dict[str, torch.Tensor], Info, str]":
    """Read what `write_tensors` wrote: the tensors on the CPU, the plain values, the digest.

    Raises:
        DamagedCheckpointError: the file is truncated, altered, or of another kind.
    """
    tensors, metadata = _read(path)
    text, digest = metadata.get("info"), metadata.get("digest")
    if text is None or digest is None:
        raise DamagedCheckpointError(path, "it was not written by runwright")
    if digest != _digest(tensors, text):
        raise DamagedCheckpointError(path, "its content does not match its digest")
    return tensors, json.loads(text), digest


def read_weights(path: Path) -> "dict[str, torch.Tensor]":
    """Read the weights in a safetensors file, written by this library or another.

    Raises:
        UserError: the file is damaged or of another kind.
    """
    try:
        tensors, metadata = _read(path)
        return tensors if "digest" not in metadata else read_tensors(path)[0]
    except DamagedCheckpointError as damage:
        raise UserError(f"{path} is not an intact safetensors file: {damage.what}.") from damage


def _read(path: Path) -> "tuple[dict[str, torch.Tensor], dict[str, str]]":
    """The tensors and the metadata of any safetensors file."""
    from safetensors import SafetensorError, safe_open

    try:
        with cast("Any", safe_open)(path, framework="pt", device="cpu") as file:
            metadata: dict[str, str] = file.metadata() or {}
            names: list[str] = list(file.keys())
            tensors: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise DamagedCheckpointError(path, str(error)) from error
    return tensors, metadata


def _unshared(tensors: Tensors) -> "dict[str, torch.Tensor]":
    """Contiguous tensors on the CPU, each with its own memory, as the format requires."""
    seen: set[int] = set()
    result: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        is_whole = plain.untyped_storage().nbytes() == plain.nbytes
        if plain.untyped_storage().data_ptr() in seen or not is_whole:
            plain = plain.clone()
        seen.add(plain.untyped_storage().data_ptr())
        result[name] = plain
    return result


def _with_sorted_header(content: bytes) -> tuple[bytes, memoryview]:
    """The same safetensors file in two parts, with the header in a fixed order.

    The package writes the header in a different order every time.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the format aligns the data to eight bytes
    return len(header).to_bytes(8, "little") + header, memoryview(content)[end:]


def _digest(tensors: Tensors, info: str) -> str:
    import torch

    digest = hashlib.sha256(info.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
