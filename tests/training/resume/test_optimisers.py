"""Optimisers and schedules with a state of their own: killed and resumed, no byte changes."""

import os
import signal
import sys
from pathlib import Path

import pytest

import own_optimisers  # pyright: ignore[reportUnusedImport]  # noqa: F401  # it registers them
from programs import run_python
from runwright import compose
from runwright.rundir.tensor_files import read_tensors
from training.resume.conftest import DIE_AT_STEP_30, assert_equal_runs

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
    "accumulated": (*GAN, "training.accumulate_grad_batches=2"),
}
WITH_DOMAIN = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.mark.parametrize("way", WAYS)
def test_killed_and_resumed_changes_no_byte(tmp_path: Path, way: str) -> None:
    options = [*OPTIONS, *WAYS[way]]
    compose(options).run(tmp_path / "unbroken")
    program = f"import own_optimisers\n{DIE_AT_STEP_30}"
    done = run_python("-c", program, str(tmp_path / "broken"), *options, env=WITH_DOMAIN)
    assert done.returncode == -signal.SIGKILL, done.stderr
    compose(options).run(tmp_path / "broken")
    assert_equal_runs(tmp_path / "unbroken", tmp_path / "broken")
    if "plateau" in way:
        state = tmp_path / "broken" / "checkpoints" / "last.state.safetensors"
        reduced = dict(read_tensors(state)[1]["schedule"]["items"])["reduced"]
        assert reduced < 1
