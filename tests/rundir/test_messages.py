"""Where a run's messages go, whatever the program is doing when they come."""

import contextlib
import io
import logging
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from runwright.rundir.messages import log_to
from runwright.training.stop import StopRequest

STOPPING = "SIGTERM: stopping after this step; a second signal stops at once."


class SignalledOnce(io.RawIOBase):
    """A file to which the first line is being written when a signal comes."""

    def __init__(self) -> None:
        self.lines = ""

    @override
    def writable(self) -> bool:
        return True

    @override
    def write(self, b: Any, /) -> int:
        if not self.lines:
            signal.raise_signal(signal.SIGTERM)
        self.lines += bytes(b).decode()
        return len(b)


def text_file(raw: io.RawIOBase) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8")


def test_a_signal_while_a_line_is_printed_is_told_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = SignalledOnce()
    monkeypatch.setattr(sys, "stdout", text_file(console))
    with log_to(tmp_path), StopRequest() as stop, stop.after_the_step():
        logging.getLogger("runwright").info("step 1")
        assert stop.requested
    assert console.lines.splitlines() == ["step 1", STOPPING]
    said = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.partition("] ")[2] for line in said] == [STOPPING, "step 1"]


def test_a_signal_while_another_prints_is_told_with_the_next_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = SignalledOnce()
    monkeypatch.setattr(sys, "stdout", text_file(console))
    with log_to(tmp_path), StopRequest() as stop, stop.after_the_step():
        print("of the model itself", flush=True)
        assert stop.requested
        logging.getLogger("runwright").info("step 1")
    assert console.lines.splitlines() == ["of the model itself", STOPPING, "step 1"]


def test_a_signal_while_the_log_is_written_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SignalledOnce()

    def opened(path: Path, mode: str, encoding: str) -> io.TextIOWrapper:
        return text_file(log)

    monkeypatch.setattr(Path, "open", opened)
    with log_to(tmp_path), StopRequest() as stop, stop.after_the_step():
        logging.getLogger("runwright").info("step 1")
    assert [line.partition("] ")[2] for line in log.lines.splitlines()] == ["step 1", STOPPING]


class Textless:
    @override
    def __repr__(self) -> str:
        raise KeyError("no text")


def test_a_message_that_does_not_fit_its_arguments_ends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's, which do not bear it
    with log_to(tmp_path):
        logging.getLogger("of_others").warning("100% yes", 1)
        logging.getLogger("of_others").warning("it is %s", Textless())
        logging.getLogger("runwright").info("step 1")
    first, second, third = capsys.readouterr().out.splitlines()
    assert (first, third) == ("100% yes (1,)", "step 1")
    assert second.startswith("it is %s (<Textless instance at ")
    assert "100% yes (1,)" in (tmp_path / "log.txt").read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_console_that_cannot_be_written_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with log_to(tmp_path):
            logging.getLogger("runwright").info("step 1")
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            full.close()
    assert "step 1" in (tmp_path / "log.txt").read_text()
