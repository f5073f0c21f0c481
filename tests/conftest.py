"""What several tests need: the repository, a way to run `main.py` as a user does, a small run."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from programs import run_python

# What a script starts with "&" ignores Ctrl-C, and so would the programs that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).parent.parent

_LONG = ("slurm", "readme")

Run = Callable[..., subprocess.CompletedProcess[str]]

# A run of a second: a small model, few batches, no pictures.
SMALL = ("gpu=-1", "model=cnn", "opt.lr=0.002", "training.epochs=2", "pictures=false")
# The default model, small.
TINY = ("model.hidden_dim=10", "training.epochs=1", "pictures=false")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, because tests of servers wait a lot; at most four."""
    return min(4, (os.cpu_count() or 1) + 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, for pytest-xdist gives out whole files in order."""
    items.sort(key=lambda item: item.path.parent.name not in _LONG)


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


def run_dirs(tmp_path: Path, kind: str = "outputs") -> list[Path]:
    """The run directories below a test's own directory."""
    return sorted(path.parent for path in (tmp_path / kind).rglob("config.yaml"))


@pytest.fixture
def run_main(tmp_path: Path) -> Run:
    """Run `python main.py …` in an empty directory."""

    def run(*arguments: str, timeout: float = 120, **env: str) -> subprocess.CompletedProcess[str]:
        main = REPOSITORY / "main.py"
        return run_python(main, *arguments, cwd=tmp_path, timeout=timeout, env=env)

    return run


@pytest.fixture(autouse=True)
def in_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into the repository."""
    monkeypatch.chdir(tmp_path)
