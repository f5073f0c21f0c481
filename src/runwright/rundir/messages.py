"""Where a run's messages go: the console and `log.txt`."""

import collections
import contextlib
import logging
import reprlib
import sys
from abc import abstractmethod
from collections.abc import Generator
from pathlib import Path
from typing import Final

from typing_extensions import override

from runwright.storage.atomic_files import write_bytes

FILE_ONLY: Final = "runwright.traceback"
"""The logger of what belongs in `log.txt` but not on the console."""


@contextlib.contextmanager
def log_to(run_dir: Path) -> Generator["LogFile"]:
    """Send this library's messages, and other libraries' warnings, to the console and `log.txt`."""
    ours, root = logging.getLogger("runwright"), logging.getLogger()
    file = LogFile(run_dir / "log.txt")
    handlers = [_Console(), file]
    level = ours.level
    ours.setLevel(logging.INFO)
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield file
    finally:
        for handler in handlers:
            root.removeHandler(handler)
        ours.setLevel(level)
        with contextlib.suppress(OSError):  # what is still to be written, if the disk is full
            file.close()


class _AfterOthers(logging.Handler):
    """Delays what a signal handler says in the middle of other output until after it.

    Python runs such handlers wherever the program is, and refuses to write to a file that is being
    written: that error would end the run instead of asking it to stop.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting: collections.deque[str] = collections.deque()

    @abstractmethod
    def write(self, text: str) -> None:
        """Write a line."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001  # from another library: its arguments do not fit its message
            message = record.msg if isinstance(record.msg, str) else reprlib.repr(record.msg)
            text = f"{message} {reprlib.repr(record.args)}"  # works even for objects without a text
        self._waiting.append(text)
        while self._waiting:
            try:
                text = self._waiting.popleft()
            except IndexError:  # a signal handler that ran just now has written it
                return
            try:
                self.write(text)
            except RuntimeError as error:
                if not str(error).startswith("reentrant call"):
                    raise
                self._waiting.appendleft(text)
                return


class _Console(_AfterOthers):
    """Prints without tearing a progress bar apart."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.name != FILE_ONLY and sys.stdout is not None:  # a closed stream, as under cron
            super().emit(record)

    @override
    def write(self, text: str) -> None:
        from tqdm import tqdm

        # If nobody reads it or it cannot be written, log.txt has everything, and the run continues.
        with contextlib.suppress(OSError, ValueError):
            tqdm.write(
                f"{text}\n", file=sys.stdout, end=""
            )  # in one piece, whenever a signal comes
            sys.stdout.flush()


class LogFile(_AfterOthers):
    """Says once that the file cannot be written, instead of a traceback for every line."""

    def __init__(self, path: Path) -> None:
        self._begins_at = path.stat().st_size if path.exists() else 0
        self._file = path.open("a", encoding="utf-8")  # before logging knows that it must close it
        super().__init__()
        self.setFormatter(logging.Formatter("[%(asctime)s] %(message)s"))
        self._path = path
        self._has_failed = False

    @override
    def write(self, text: str) -> None:
        try:
            self._file.write(f"{text}\n")
            self._file.flush()
        except (OSError, ValueError):
            if not self._has_failed:
                print(f"{self._path} can no longer be written.", file=sys.stderr)
            self._has_failed = True

    def drop_earlier_runs(self) -> None:
        """Keep of the file only what was written since it was opened."""
        content = self._path.read_bytes()[self._begins_at :]
        write_bytes(self._path, content)
        self._file.close()
        self._file = self._path.open("a", encoding="utf-8")
        self._begins_at = 0

    @override
    def close(self) -> None:
        super().close()
        self._file.close()
