"""Checkpoint files: equal content is equal bytes, damage is noticed, nothing is half-written."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from runwright.errors import UserError
from runwright.rundir.checkpoint import CheckpointCfg, Checkpoints, find_weights
from runwright.rundir.tensor_files import (
    DamagedCheckpointError,
    read_tensors,
    read_weights,
    write_tensors,
)
from runwright.storage.atomic_files import alias

TENSORS = {
    "weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "half": torch.ones(5, dtype=torch.bfloat16),
    "flag": torch.tensor([True, False]),
    "count": torch.tensor(7),
    "empty": torch.zeros(0, 3),
}
INFO = {"step": 3, "loss": 0.1 + 0.2, "names": ["a", "ü"]}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a.safetensors", TENSORS, INFO)
    tensors, info, _ = read_tensors(tmp_path / "a.safetensors")
    assert info == INFO
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.safetensors" for i in range(8)]
    for path in paths:
        write_tensors(path, TENSORS, INFO)
    assert len({path.read_bytes() for path in paths}) == 1


def test_other_programs_can_read_the_weights(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a.safetensors", TENSORS, INFO)
    loaded = load_file(tmp_path / "a.safetensors")
    assert torch.equal(loaded["weight"], TENSORS["weight"])


def test_weights_of_other_programs_can_be_read(tmp_path: Path) -> None:
    save_file({"weight": TENSORS["weight"]}, tmp_path / "a.safetensors")
    assert torch.equal(read_weights(tmp_path / "a.safetensors")["weight"], TENSORS["weight"])


def test_tied_and_sliced_tensors_are_written_whole(tmp_path: Path) -> None:
    base = torch.arange(10.0)
    tied = {"a": base, "b": base, "part": base[2:5], "column": base.reshape(5, 2)[:, 1]}
    write_tensors(tmp_path / "a.safetensors", tied, {})
    tensors, _, _ = read_tensors(tmp_path / "a.safetensors")
    assert all(torch.equal(tensors[name], tied[name]) for name in tied)
    assert (tmp_path / "a.safetensors").stat().st_size < 1000


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, TENSORS, INFO)
    whole = path.read_bytes()
    assert len(whole) < 1000
    padding = whole.count(b" ")
    unnoticed = 0
    for position in range(len(whole)):
        broken = bytearray(whole)
        broken[position] ^= 0x04
        path.write_bytes(broken)
        try:
            read_tensors(path)
        except DamagedCheckpointError:
            continue
        unnoticed += 1
    assert unnoticed <= padding  # blanks between header and data mean nothing


@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_a_file_cut_short_is_noticed(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, TENSORS, INFO)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DamagedCheckpointError):
        read_tensors(path)


def test_only_the_newest_are_kept_and_last_is_the_newest(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, CheckpointCfg(keep=2))
    for step in (5, 10, 15):
        checkpoints.save(step, {"w": torch.tensor([float(step)])}, {}, {})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        f"{name}{suffix}"
        for name in ("step-00000010", "step-00000015", "last")
        for suffix in (".safetensors", ".state.safetensors")
    }
    assert read_weights(tmp_path / "last.safetensors")["w"].item() == 15


def test_what_has_finished_keeps_the_last_one_and_the_best_weights(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, CheckpointCfg())
    for step in (5, 10):
        weights = {"w": torch.tensor([float(step)])}
        checkpoints.save_best(weights, {"step": step})
        checkpoints.save(step, weights, {}, {})
    assert (tmp_path / "step-00000005.safetensors").exists()
    checkpoints.finish()
    files = {path.stat().st_ino for path in tmp_path.iterdir()}
    assert len(files) == 3  # the weights, the state beside the last and that beside the best
    assert (tmp_path / "best.safetensors").samefile(tmp_path / "last.safetensors")
    assert read_weights(tmp_path / "best.safetensors")["w"].item() == 10
    assert checkpoints.best_info()["step"] == 10
    found = checkpoints.latest()
    assert found is not None
    assert found.info["step"] == 10
    # What comes later takes the place of one name only.
    checkpoints.save_best({"w": torch.tensor([15.0])}, {"step": 15})
    assert read_weights(tmp_path / "last.safetensors")["w"].item() == 10


def test_other_best_weights_and_as_many_checkpoints_as_one_asks_for_are_kept(
    tmp_path: Path,
) -> None:
    checkpoints = Checkpoints(tmp_path, CheckpointCfg(keep=3))
    checkpoints.save_best({"w": torch.tensor([0.0])}, {"step": 1})
    for step in (5, 10, 15, 20):
        checkpoints.save(step, {"w": torch.tensor([float(step)])}, {}, {})
    checkpoints.finish()
    assert len(list(tmp_path.glob("step-*.state.safetensors"))) == 3
    assert read_weights(tmp_path / "best.safetensors")["w"].item() == 0


@pytest.mark.parametrize("suffixes", [["", ".state"], [".state"]], ids=["both", "the state"])
def test_a_kill_before_the_newest_was_named_last_is_made_good(
    tmp_path: Path, suffixes: list[str]
) -> None:
    checkpoints = Checkpoints(tmp_path, CheckpointCfg(save_every=1))
    for step in (1, 2):
        checkpoints.save(step, {"weight": torch.full((2,), float(step))}, {}, {})
    for suffix in suffixes:
        alias(
            tmp_path / f"step-00000001{suffix}.safetensors", tmp_path / f"last{suffix}.safetensors"
        )
    newest = checkpoints.latest()
    assert newest is not None
    checkpoints.name_last(newest)
    for suffix in ("", ".state"):
        last = tmp_path / f"last{suffix}.safetensors"
        assert last.samefile(tmp_path / f"step-00000002{suffix}.safetensors")


def test_weights_and_state_of_different_steps_are_not_mixed(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, CheckpointCfg(keep=3))
    for step in (5, 10):
        checkpoints.save(step, {"w": torch.tensor([float(step)])}, {}, {})
    (tmp_path / "step-00000005.safetensors").replace(tmp_path / "step-00000010.safetensors")
    found = checkpoints.latest()
    assert found is not None
    assert found.path.name == "last.safetensors"
    assert found.weights["w"].item() == 10


def test_saving_is_by_steps_or_by_the_time_that_it_takes(tmp_path: Path) -> None:
    by_steps = Checkpoints(tmp_path, CheckpointCfg(save_every=4))
    assert [step for step in range(1, 13) if by_steps.due(step)] == [4, 8, 12]
    by_time = Checkpoints(tmp_path, CheckpointCfg())
    assert not by_time.due(1)


def test_the_best_weights_of_a_run_directory_are_found(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", CheckpointCfg())
    checkpoints.save(1, {"w": torch.tensor([1.0])}, {}, {})
    assert find_weights(tmp_path).name == "last.safetensors"
    checkpoints.save_best({"w": torch.tensor([2.0])}, {"step": 1})
    assert find_weights(tmp_path).name == "best.safetensors"
    with pytest.raises(UserError, match="There are no weights to load. Looked for:"):
        find_weights(tmp_path / "elsewhere")


def test_a_pickle_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"w": torch.zeros(2)}, path)
    with pytest.raises(UserError, match="is not an intact safetensors file"):
        read_weights(path)
