"""The progress bar in a terminal."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from runwright.training.run_log import RunLog
from training.test_run_log import DIGITS


def test_a_terminal_gets_a_progress_bar(tmp_path: Path, repository: Path) -> None:
    command = " ".join([sys.executable, str(repository / "main.py"), *DIGITS])
    done = subprocess.run(
        ["script", "--quiet", "--return", "--command", command, "/dev/null"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TERM": "xterm"},
    )
    assert "62/62" in done.stdout
    assert "loss=" in done.stdout
    assert re.search(r"\d\d:\d\d<\d\d:\d\d, .*step/s", done.stdout)  # the time, and what is left


def test_the_progress_bar_keeps_to_a_terminal_that_gets_narrower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.openpty()

    def resize(columns: int) -> None:
        fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))

    def shown() -> list[str]:
        return [text for text in os.read(reader, 65536).decode().split("\r") if text.strip()]

    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        resize(100)
        log = RunLog(tmp_path)
        log.begin(step=0, total_steps=1000, log_every=5)
        assert {len(text) for text in shown()} == {100}
        resize(40)
        for _ in range(3):
            time.sleep(0.15)  # tqdm draws ten times a second
            log.advance(0.5)
        assert {len(text) for text in shown()} <= set(range(1, 41))
        log.close()
    os.close(reader)
