"""Weights are measured on the data and with the model of their own run."""

import shutil
from pathlib import Path

import pytest

from conftest import last_of_each
from runwright import UserError, compose
from training.resume.conftest import OVERRIDES


def test_weights_are_not_measured_on_other_data_or_with_another_model(unbroken: Path) -> None:
    stage = [*OVERRIDES, "stage=validate", f"checkpoint.load={unbroken}"]
    with pytest.raises(UserError, match=r"dm\.split_seed: 0 → 7"):
        compose([*stage, "dm.split_seed=7"]).run("other")
    with pytest.raises(UserError, match=r"model\.activation: GELU → TANH"):
        compose([*stage, "model.activation=TANH"]).run("other")
    compose([*stage, "dm.split_seed=7", "checkpoint.allow_changes=true"]).run("other")


@pytest.mark.parametrize("way", ["beside", "link", "link_to_a_store"])
def test_the_record_of_weights_is_found_by_whatever_path_they_are_named(
    unbroken: Path, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = Path("best.safetensors")
    if way == "beside":
        monkeypatch.chdir(unbroken / "checkpoints")
    elif way == "link":
        named.symlink_to(unbroken / "checkpoints" / "best.safetensors")
    else:  # as tools for large files keep them
        run_dir = Path(shutil.copytree(unbroken, tmp_path / "run"))
        (tmp_path / "store" / "ab").mkdir(parents=True)
        (run_dir / "checkpoints" / named).rename(tmp_path / "store" / "ab" / "cd")
        named = run_dir / "checkpoints" / named
        named.symlink_to(tmp_path / "store" / "ab" / "cd")
    stage = [*OVERRIDES, "stage=validate", "dm.split_seed=7", f"checkpoint.load={named}"]
    with pytest.raises(UserError, match=r"dm\.split_seed: 0 → 7"):
        compose(stage).run(tmp_path / "other")


@pytest.mark.parametrize("content", ["foo: 1\n", "[", "defaults: [_self_]\n"])
def test_a_file_that_is_no_record_of_a_run_does_not_concern_the_weights(
    unbroken: Path, tmp_path: Path, content: str
) -> None:
    (tmp_path / "config.yaml").write_text(content)
    (tmp_path / "weights").mkdir()
    weights = tmp_path / "weights" / "mine.safetensors"
    shutil.copy(unbroken / "checkpoints" / "best.safetensors", weights)
    compose([*OVERRIDES, "stage=validate", f"checkpoint.load={weights}"]).run("other")


@pytest.mark.parametrize("lost", ["environment.json", "config.yaml"])
def test_a_record_counts_with_a_part_of_it_lost(unbroken: Path, tmp_path: Path, lost: str) -> None:
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "run"))
    if lost == "config.yaml":
        (run_dir / lost).write_text("[")
        said = "cannot be read"
    else:
        (run_dir / lost).unlink()
        said = r"dm\.split_seed: 0 → 7"
    stage = [*OVERRIDES, "stage=validate", "dm.split_seed=7", f"checkpoint.load={run_dir}"]
    with pytest.raises(UserError, match=said):
        compose(stage).run("other")


def test_a_measurement_leaves_the_record_of_the_training_alone(
    unbroken: Path, tmp_path: Path
) -> None:
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "run"))
    record = (run_dir / "result.json").read_bytes()
    compose([*OVERRIDES, "stage=validate"]).run(run_dir)
    with pytest.raises(UserError):
        compose(last_of_each(*OVERRIDES, "stage=validate", "model.hidden_dim=9")).run(run_dir)
    assert (run_dir / "result.json").read_bytes() == record
