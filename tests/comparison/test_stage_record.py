"""What stages measured with the best weights of a run."""

import json
import shutil
from pathlib import Path

import pytest

from runwright import compose
from runwright.comparison.run_record import read_run
from runwright.comparison.stage_record import read_stages
from runwright.factory import name_of
from toy_domain import ToySets

OPTIONS = [f"dm={name_of(ToySets)}", "model=set_encoder", "gpu=-1", "pictures=false"]


@pytest.fixture
def tested(tmp_path: Path) -> Path:
    """A run whose training was followed by its validation."""
    config = compose([*OPTIONS, "training.max_steps=16", "then=[validate]"])
    config.run(tmp_path / "run")
    return tmp_path / "run"


def test_what_a_stage_measured_is_the_runs_own(tested: Path) -> None:
    recorded = json.loads((tested / "validate.json").read_text())
    run = read_run(tested)
    assert run.value("val_largest") == recorded["val_largest"]
    assert run.value("val_loss") == run.best
    (stage,) = read_stages(tested)
    assert not stage.is_stale


def test_what_was_measured_with_other_weights_is_left_out(tested: Path) -> None:
    record = json.loads((tested / "validate.json").read_text())
    (tested / "validate.json").write_text(json.dumps({**record, "val_largest": -5.0}))
    moved = Path(shutil.move(tested, tested.with_name("moved")))
    assert read_run(moved).value("val_largest") == -5.0
    config = compose([*OPTIONS, "training.max_steps=16", "seed=7"])
    config.run(moved.with_name("other"))
    shutil.copy(
        moved.with_name("other") / "checkpoints" / "best.safetensors", moved / "checkpoints"
    )
    (stage,) = read_stages(moved)
    assert stage.is_stale
    assert read_run(moved).value("val_largest") != -5.0


def test_other_files_are_no_stages(tmp_path: Path) -> None:
    for name, text in {"a": "{", "b": "[1]", "c": '{"weights": 3}', "d": "{}"}.items():
        (tmp_path / f"{name}.json").write_text(text)
    assert read_stages(tmp_path) == []
