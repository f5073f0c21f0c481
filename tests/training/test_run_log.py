"""What a run records."""

import json
import sys
from pathlib import Path

import pytest

from conftest import SMALL, last_of_each
from runwright import compose
from runwright.training.run_log import RunLog
from training.test_loop import SETS, rows

DIGITS = last_of_each("dm=cmnist", *SMALL, "training.epochs=1")
EIGHT_BATCHES = [one for one in SETS if not one.startswith("training.log_every")]


def test_rows_that_are_missing_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss\n5,0.5\n10,0.4\n")
    for step in (15, 25):
        assert not caplog.records
        log = RunLog(tmp_path)
        log.begin(step=step, total_steps=30, log_every=5)
        log.close()
    (record,) = caplog.records
    assert record.getMessage().endswith("metrics.csv has no rows between step 10 and 25.")


def test_a_line_of_a_validation_shows_the_training_loss_of_the_steps_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*EIGHT_BATCHES, "training.max_steps=8"]
    compose(last_of_each(*options, "training.log_every=1")).run(tmp_path / "each")
    each = {int(row["step"]): float(row["train_loss"]) for row in rows(tmp_path / "each")}
    capsys.readouterr()
    compose(last_of_each(*options, "training.log_every=4", "training.val_every=2")).run(
        tmp_path / "run"
    )
    said = capsys.readouterr().out
    first = (each[1] + each[2]) / 2
    assert f"step 2/8  train_loss {first:.4g}  val_loss " in said
    fourth = sum(each[step] for step in (1, 2, 3, 4)) / 4
    assert f"step 4/8  train_loss {fourth:.4g}  val_loss " in said


def test_the_run_directory_explains_the_run(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    value = compose(last_of_each(*DIGITS, "pictures=true")).run(run_dir)
    names = {str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if path.is_file()}
    assert names >= {
        "config.yaml",
        "command.txt",
        "environment.json",
        "log.txt",
        "metrics.csv",
        "result.json",
        "checkpoints/last.safetensors",
        "checkpoints/last.state.safetensors",
        "checkpoints/best.safetensors",
        "checkpoints/best.state.safetensors",
        "pictures/learning_curves.png",
        "pictures/training_examples.png",
        "pictures/confusion_matrix_val.png",
    }
    result = json.loads((run_dir / "result.json").read_text())
    assert (result["status"], result["value"]) == ("finished", value)
    environment = json.loads((run_dir / "environment.json").read_text())
    # What runwright asks for, and of its extras what is installed.
    assert environment["packages"].keys() >= {"torch", "runwright", "hydra-core", "torchvision"}
    assert environment["python"] == ".".join(map(str, sys.version_info[:3]))
    log = (run_dir / "log.txt").read_text()
    assert "Starting a run with seed 42 on the CPU." in log
    assert "Best val_accuracy" in log
    assert (run_dir / "command.txt").read_text() == f"compose(…).run({str(run_dir)!r})\n"


@pytest.mark.slow
def test_tensorboard_gets_every_measure_when_asked(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    compose([*DIGITS, "tensorboard=true"]).run(tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    for measure in ("train_loss", "val_accuracy", "lr"):
        assert len(events.Scalars(measure)) >= 1
