"""What several tests need: the repository, a way to run `main.py` as a user does, a small run."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from programs import run_python
from runwright.domains import register_domains
from runwright.factory import CONFIG_GROUPS

# What a script starts with "&" ignores Ctrl-C, and so would the programs that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).parent.parent

# The files that take longest, the longest first: one of them that came last would run alone.
LONGEST = (
    *("slurm/test_launcher.py", "readme/test_readme.py", "slurm/test_sweeps.py"),
    *("sweep/test_interrupted.py", "training/resume/test_kills.py", "sweep/test_sweep.py"),
    *("device/test_distributed.py", "training/test_sharding.py", "readme/test_sweeps_page.py"),
    *("sweep/test_going_on.py", "training/test_wandb_log.py", "slurm/test_page.py"),
)

Run = Callable[..., subprocess.CompletedProcess[str]]

# A run of a second: a small model, few batches, no pictures.
SMALL = ("gpu=-1", "model=cnn", "opt.lr=0.002", "training.epochs=2", "pictures=false")
# The default model, small.
TINY = ("model.hidden_dim=10", "training.epochs=1", "pictures=false")


def last_of_each(*overrides: str) -> list[str]:
    """Overrides of which each option's last one stays: no option is given twice."""
    last = {one.lstrip("+").partition("=")[0]: one for one in overrides}
    return [one for one in overrides if last[one.lstrip("+").partition("=")[0]] is one]


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, because tests of servers wait a lot; at most four."""
    return min(4, (os.cpu_count() or 1) + 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, for pytest-xdist gives out whole files in order."""
    order = {REPOSITORY / "tests" / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


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


@pytest.fixture
def only_own_factories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what runwright registers itself: what other tests register stays for a whole process."""
    register_domains()  # once for the process, and not into what is undone after this test
    for group, members in CONFIG_GROUPS.items():
        is_own = {name: cls.__module__.startswith("runwright.") for name, cls in members.items()}
        own = {name: cls for name, cls in members.items() if is_own[name]}
        monkeypatch.setitem(CONFIG_GROUPS, group, own)


@pytest.fixture(autouse=True)
def in_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into the repository."""
    monkeypatch.chdir(tmp_path)
