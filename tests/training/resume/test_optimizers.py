"""Optimisers and schedules with a state of their own: killed and resumed, no byte changes."""

import os
import signal
import sys
from pathlib import Path

import pytest

import own_optimizers  # pyright: ignore[reportUnusedImport]  # noqa: F401  # it registers them
from conftest import last_of_each
from programs import run_python
from runwright import compose
from runwright.rundir.tensor_files import read_tensors
from training.resume.conftest import DIE_AT_STEP_30, assert_equal_runs
from training.test_own_steps import rows

OPTIONS = (
    *("dm=toy_sets", "gpu=-1", "pictures=false", "training.epochs=100", "training.max_steps=45"),
    *("training.log_every=4", "checkpoint.save_every=10", "training.val_every=3"),
)
PLATEAU = ("opt.schedule=plateau", "opt.patience=2", "opt.gamma=0.5", "opt.lr=0.05")
GAN = ("model=pair", "objective=adversarial", "opt=pair_of_adams")
WAYS = {
    "plateau": ("model=set_encoder", *PLATEAU),
    "plateau of the training loss": ("model=set_encoder", *PLATEAU, "training.monitor=train_loss"),
    "state in lists and groups": ("model=set_encoder", "opt=averaging", "opt.schedule=cosine"),
    "torch's scheduler": ("model=set_encoder", "opt=cyclic"),
    "two optimisers": ("model=set_encoder", "opt=apart"),
    "a step of one's own": (*GAN, "training.ema_decay=0.9", "training.clip_grad=1"),
    "batches that are not used": ("model=set_encoder", "objective=now_and_then"),
    "accumulated": (*GAN, "training.accumulate_grad_batches=2"),
}
WITH_DOMAIN = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def reduced(run_dir: Path) -> float:
    """What a plateau has made of the learning rate."""
    state = run_dir / "checkpoints" / "last.state.safetensors"
    return dict(read_tensors(state)[1]["schedule"]["items"])["reduced"]


@pytest.mark.parametrize("way", WAYS)
def test_killed_and_resumed_changes_no_byte(tmp_path: Path, way: str) -> None:
    options = [*OPTIONS, *WAYS[way]]
    compose(options).run(tmp_path / "unbroken")
    program = f"import own_optimizers\n{DIE_AT_STEP_30}"
    done = run_python("-c", program, str(tmp_path / "broken"), *options, env=WITH_DOMAIN)
    assert done.returncode == -signal.SIGKILL, done.stderr
    compose(options).run(tmp_path / "broken")
    assert_equal_runs(tmp_path / "unbroken", tmp_path / "broken")
    if "plateau" in way:
        assert reduced(tmp_path / "broken") < 1


@pytest.mark.parametrize("changed", ["opt.top=0.3", "training.max_steps=60"])
def test_a_scheduler_whose_options_have_changed_is_taken_anew_to_the_step(
    tmp_path: Path, changed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (*OPTIONS, "model=set_encoder", "opt=cyclic")
    compose(last_of_each(*options, "training.max_steps=20")).run(tmp_path / "changed")
    capsys.readouterr()
    now = last_of_each(*options, changed, "checkpoint.allow_changes=true")
    compose(now).run(tmp_path / "changed")
    assert "opt=cyclic starts again and is advanced to this step" in "".join(capsys.readouterr())
    compose(now).run(tmp_path / "fresh")
    rates = [
        {row["step"]: row["lr"] for row in rows(tmp_path / name) if int(row["step"]) > 20}
        for name in ("changed", "fresh")
    ]
    assert rates[0] == rates[1]
    assert len(rates[0]) > 5


def test_another_scheduler_is_said_to_be_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (*OPTIONS, "model=set_encoder", "checkpoint.allow_changes=true")
    compose(last_of_each(*options, *PLATEAU, "training.max_steps=20")).run(tmp_path / "run")
    compose([*options, "opt.schedule=cosine"]).run(tmp_path / "run")
    said = "".join(capsys.readouterr())
    assert "The state of the schedule is reset: it was opt.schedule=plateau" in said
