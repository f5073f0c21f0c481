"""A study opens in optuna-dashboard, in a real browser."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from pathlib import Path

import pytest

from sweep.conftest import Sweep, study

pytestmark = pytest.mark.slow


def rendered(url: str, profile: Path) -> str:
    """The page as the browser shows it, once its scripts have run."""
    browser = shutil.which("chromium")
    assert browser is not None
    quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", *quiet]
    done = subprocess.run(
        [*command, f"--user-data-dir={profile}", "--virtual-time-budget=20000", "--dump-dom", url],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


@pytest.fixture
def dashboard(sweep: Sweep) -> Generator[str]:
    """The address of a dashboard with the study of a small sweep."""
    if shutil.which("chromium") is None:
        reason = "chromium: not installed; tests/install brings it."
        if os.environ.get("RUNWRIGHT_REQUIRE_CLUSTER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    assert sweep("hydra.sweeper.n_trials=4", "opt.lr=tag(log, interval(1e-4, 1e-1))") == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).parent / "optuna-dashboard"
    command = [str(program), "sweep/study.log", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "the dashboard does not answer"
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait()


def test_the_dashboard_shows_the_study_and_its_best_trial(dashboard: str, tmp_path: Path) -> None:
    assert "sweep" in rendered(f"{dashboard}/dashboard/", tmp_path / "profile")
    page = rendered(f"{dashboard}/dashboard/studies/0", tmp_path / "profile")
    best = study().best_trial
    assert f"Best Trial (number={best.number})" in page
    assert str(best.value) in page
    assert "opt.lr" in page
