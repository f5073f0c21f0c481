"""Files of torch and Lightning are read for their tensors; nothing in them is executed."""

import argparse
import collections
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from runwright import UserError
from runwright.finetune_options import SourceOptions
from runwright.training.finetune.checkpoint_files import read_checkpoint
from runwright.training.finetune.weights_in import weights_in

WAYS = [
    {},
    {"pickle_protocol": 4},
    {"_use_new_zipfile_serialization": False},
    {"_use_new_zipfile_serialization": False, "pickle_protocol": 4},
]


class Payload:
    """Touches a file when it is unpickled."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[object, ...]]:
        return self.reduced


class OwnList(list[Any]):
    pass


class OwnDict(dict[str, Any]):
    pass


def tensors() -> dict[str, torch.Tensor]:
    whole = torch.randn(10)
    return {
        "view": whole[2:8].reshape(2, 3).t(),
        "parameter": nn.Parameter(torch.randn(2, 2)),
        "half": torch.randn(3).half(),
        "bfloat": torch.randn(3).bfloat16(),
        "count": torch.tensor(7),
        "empty": torch.empty(0, 3),
        "flag": torch.tensor([True, False]),
        "complex": torch.randn(2, dtype=torch.complex64),
    }


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_what_a_lightning_file_holds_besides_does_not_keep_its_tensors_from_being_read(
    way: dict[str, Any], tmp_path: Path
) -> None:
    marker = tmp_path / "executed"
    hyper_parameters = {
        "payload": Payload(os.mkdir, str(marker)),
        "opened": Payload(open, str(marker), "w"),
        "evaluated": Payload(eval, f"open({str(marker)!r}, 'w')"),
        "nested": [Payload(exec, f"open({str(marker)!r}, 'w')")],
        Payload(Path.touch, marker): "as a key",
        "list": OwnList([1, OwnList()]),
        "dictionary": OwnDict(a=OwnDict()),
        "path": Path("/data"),
        "namespace": argparse.Namespace(a=1),
        "number": np.float64(3),
        "array": np.ones(3),
        "defaults": collections.defaultdict(list, a=[1]),
        "class": OwnList,
    }
    state = tensors()
    path = tmp_path / "epoch=3.ckpt"
    content = {"epoch": 3, "state_dict": state, "hyper_parameters": hyper_parameters}
    torch.save(content, path, **way)
    read = weights_in(path, SourceOptions(), "finetune")
    assert not marker.exists()
    assert read.tensors.keys() == state.keys()
    for name, tensor in read.tensors.items():
        assert type(tensor) is torch.Tensor
        assert torch.equal(tensor, state[name])
        assert tensor.dtype == state[name].dtype
    names = {name.replace("__builtin__", "builtins") for name in read.foreign}
    assert {"posix.mkdir", "io.open", "builtins.eval", "builtins.exec"} <= names
    assert f"{__name__}.OwnList" in read.foreign


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_payload_among_the_tensors_is_refused_by_name(
    way: dict[str, Any], tmp_path: Path
) -> None:
    marker, path = tmp_path / "executed", tmp_path / "weights.pth"
    payload = Payload(os.mkdir, str(marker))
    torch.save({"weight": torch.ones(2), "bias": payload}, path, **way)
    with pytest.raises(UserError, match=r"bias \(posix\.mkdir\)"):
        weights_in(path, SourceOptions(), "finetune")
    assert not marker.exists()


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_whole_model_is_not_made(way: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(nn.Sequential(nn.Linear(2, 2)), path, **way)
    with pytest.raises(UserError, match=r"class torch\.nn\.modules\.container\.Sequential"):
        weights_in(path, SourceOptions(), "finetune")


def test_a_program_of_torch_jit_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "program.pt"
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:  # what makes it one; torch.jit itself warns
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"program/{name}", b"")
    with pytest.raises(UserError, match="is a TorchScript program, which runwright does not run"):
        read_checkpoint(path)


def set_attribute(target: bytes, name: str, value: bytes) -> bytes:
    """A pickle that sets an attribute of what a name stands for."""
    state = b"(N}" + b"U" + struct.pack("B", len(name)) + name.encode() + value + b"st"
    return b"\x80\x02" + target + state + b"b."


@pytest.mark.parametrize(
    "target",
    [b"ctorch._utils\n_rebuild_tensor_v2\n", b"cos\nsystem\n", b"ccollections\nOrderedDict\n"],
)
def test_a_file_cannot_change_what_reads_it(target: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(set_attribute(target, "__call__", b"ccollections\nOrderedDict\n"))
    with pytest.raises(UserError, match="cannot be read as a torch file"):
        read_checkpoint(path)
    torch.save(tensors(), path)
    assert weights_in(path, SourceOptions(), "finetune").tensors.keys() == tensors().keys()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04abc", b"\x80\x02}.", b"text", b"\x80"])
def test_what_is_no_file_of_weights_is_said_to_be_none(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=str(path)):
        read_checkpoint(path)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_damaged_file_is_a_mistake_and_no_bug(
    way: dict[str, Any], share: float, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.randn(1000)}, path, **way)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=str(path)):
        read_checkpoint(path)


def test_what_is_no_file_of_weights_is_told_with_its_path_once(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_text("<html>Log in</html>")
    with pytest.raises(UserError) as error:
        read_checkpoint(path)
    said = str(error.value)
    assert said.startswith(f"{path} is not a complete .safetensors, .pth, .pt or .ckpt file: Error")
    assert said.count(str(path)) == 1


def test_a_pickle_that_holds_itself_is_read(tmp_path: Path) -> None:
    holder: dict[str, Any] = {"state_dict": tensors(), "hyper_parameters": []}
    holder["hyper_parameters"].append(holder)
    torch.save(holder, tmp_path / "weights.ckpt")
    read = weights_in(tmp_path / "weights.ckpt", SourceOptions(), "finetune")
    assert read.tensors.keys() == tensors().keys()


def test_pickle_itself_would_have_executed_the_payload(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    pickle.loads(pickle.dumps(Payload(os.mkdir, str(marker))))
    assert marker.exists()
