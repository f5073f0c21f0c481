"""A run that ended, and the same run killed midway, for tests to resume."""

import filecmp
import shutil
from pathlib import Path

import pytest

from programs import run_python
from runwright import compose

# Everything that has a state: dropout, a moving average, gradients over two batches, early
# stopping's counter, validation within the epoch, a measure that is recorded at odd steps.
OVERRIDES = (
    "gpu=-1",
    "dm=cmnist",
    "model=fcn",
    "model.hidden_dim=32",
    "model.dropout_prob=0.2",
    "opt.lr=0.003",
    "opt.weight_decay=0.01",
    "training.epochs=4",
    "training.ema_decay=0.9",
    "training.accumulate_grad_batches=2",
    "training.val_every=0.5",
    "training.log_every=7",
    "training.early_stopping=20",
    "pictures=false",
)
ALLOWED = "checkpoint.allow_changes=true"

DIE_AT_STEP_30 = """
import os, signal, sys
from runwright import compose
from runwright.rundir.checkpoint import Checkpoints
save = Checkpoints.save
def save_and_die(self, step, *rest):
    save(self, step, *rest)
    if step == 30:
        os.kill(os.getpid(), signal.SIGKILL)
Checkpoints.save = save_and_die
compose(sys.argv[2:]).run(sys.argv[1])
"""


@pytest.fixture(scope="session")
def killed_at_30(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("killed") / "run"
    arguments = [str(run_dir), *OVERRIDES, "checkpoint.save_every=10"]
    done = run_python("-c", DIE_AT_STEP_30, *arguments)
    assert done.returncode == -9, done.stderr
    return run_dir


@pytest.fixture
def killed(killed_at_30: Path, tmp_path: Path) -> Path:
    """A run directory that holds checkpoints of steps 20 and 30 of 124."""
    return Path(shutil.copytree(killed_at_30, tmp_path / "killed"))


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("unbroken") / "run"
    compose([*OVERRIDES, "checkpoint.save_every=10"]).run(run_dir)
    return run_dir


@pytest.fixture
def best_only(unbroken: Path, tmp_path: Path) -> Path:
    """A run directory as a failure before the first checkpoint leaves it."""
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "best_only"))
    for path in [*(run_dir / "checkpoints").iterdir(), run_dir / "result.json"]:
        if not path.name.startswith("best"):
            path.unlink()
    return run_dir


def assert_equal_runs(unbroken: Path, broken: Path) -> None:
    for name in ("checkpoints/last.safetensors", "checkpoints/best.safetensors", "metrics.csv"):
        # Comparing the bytes in the assertion, pytest would look for the differences for minutes.
        assert filecmp.cmp(unbroken / name, broken / name, shallow=False), name


def contents(run_dir: Path) -> dict[str, bytes]:
    """Everything in a run directory but the log, which every start adds to."""
    files = (path for path in run_dir.rglob("*") if path.is_file())
    return {str(p.relative_to(run_dir)): p.read_bytes() for p in files if p.name != "log.txt"}
