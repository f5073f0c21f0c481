"""A run that is slow says that it is alive, within one step too."""

import contextlib
import os
import re
import sys
import threading
from pathlib import Path

import pytest
import torch

from runwright import Interrupted, compose
from runwright.training import signs_of_life
from runwright.training.run_log import NoLog, RunLog
from runwright.training.signs_of_life import NAME_OF_THREAD, duration
from training.slow_model import SlowFactory
from training.test_loop import weights

OPTIONS = (
    *("dm=toy_sets", f"model={SlowFactory.config_choice}", "gpu=-1"),
    *("training.max_steps=2", "training.epochs=null", "training.log_every=2"),
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second without a word is long."""
    monkeypatch.setattr(signs_of_life, "_SECONDS", 0.1)


def watching() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == NAME_OF_THREAD]


def test_a_slow_step_says_that_it_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compose([*OPTIONS, "pictures=false", "model.training=0.6"]).run(tmp_path / "run")
    said = capsys.readouterr().out
    assert re.search(r"^step 0/2  in step 1 \(\d s so far\)$", said, re.MULTILINE)
    assert re.search(r"^step 1/2  \S+ steps/s  \d+ s left$", said, re.MULTILINE)
    assert re.search(r"^step 1/2  in step 2 \(\d s so far\)$", said, re.MULTILINE)
    assert "in step 2 (" in (tmp_path / "run" / "log.txt").read_text()


def test_a_slow_batch_says_that_it_is_one_of_a_validation_or_a_stage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = [*OPTIONS, "model.evaluation=0.4"]
    compose([*slow, "pictures=true", "then=[validate]"]).run(tmp_path / "run")
    said, of_stage = capsys.readouterr().out.split("Best val_loss: ")
    while_training, to_draw = said.split("step 2/2  train_loss ")
    for text in (while_training, to_draw):
        assert "step 2/2  validating (0 s so far)" in text
    assert "step 2/2  stage=validate (0 s so far)" in of_stage
    again = ("stage=validate", f"checkpoint.load={tmp_path / 'run'}")
    compose([*slow, "pictures=false", *again]).run(tmp_path / "again")
    assert "\nstage=validate (0 s so far)\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fails_by", "error"), [("null", None), ("error", ValueError), ("Ctrl-C", Interrupted)]
)
def test_nothing_is_left_of_it_after_a_run(
    tmp_path: Path, fails_by: str, error: type[BaseException] | None
) -> None:
    expected = contextlib.nullcontext() if error is None else pytest.raises(error)
    with expected:
        compose([*OPTIONS, "pictures=false", f"model.fails_by={fails_by}"]).run(tmp_path / "run")
    assert not watching()


def test_it_changes_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("often", 0.001), ("never", 1e6)):
        monkeypatch.setattr(signs_of_life, "_SECONDS", seconds)
        compose([*OPTIONS, "pictures=false", "model.training=0.05"]).run(tmp_path / name)
    often, never = weights(tmp_path / "often"), weights(tmp_path / "never")
    assert all(torch.equal(one, never[name]) for name, one in often.items())


def test_only_the_main_process_gives_signs(tmp_path: Path) -> None:
    for log, threads in ((NoLog(tmp_path), 0), (RunLog(tmp_path), 1)):
        log.begin(step=0, total_steps=2, log_every=1)
        assert len(watching()) == threads
        log.close()
    assert not watching()


def test_the_bar_of_a_terminal_is_drawn_again_within_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.openpty()
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        compose([*OPTIONS, "pictures=false", "model.training=1.2"]).run(tmp_path / "run")
        drawn = os.read(reader, 65536).decode()
    os.close(reader)
    assert re.search(r"0/2 \[00:01<", drawn)  # its clock goes on
    assert "so far" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (3 * 3600 + 60, "3 h 1 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_times_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said
