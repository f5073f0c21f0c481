"""The journal file of a study, after a full disk or a crash in the middle of a write.

Every line is a record. Optuna reads nothing after a torn line, and would write after it.
"""

import json
import logging
import os
import shlex
import stat
from pathlib import Path
from typing import Any, Final

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileOpenLock
from typing_extensions import override

from runwright.errors import UserError
from runwright.rundir.layout import unfit
from runwright.rundir.sweep_layout import is_journal
from runwright.sweep.sqlite_file import begins_as_sqlite

log = logging.getLogger(__name__)

UNREADABLE: Final = (ValueError, KeyError, TypeError, AttributeError, AssertionError)
"""What Optuna raises for a line that is no record, or one that lacks a part."""

_SHOWN: Final = 60


def open_journal(path: Path) -> JournalStorage:
    """Open a journal, or create it. A torn record at its end is cut off.

    Raises:
        UserError: it is another program's file, or has a line that is no record; it stays as
            it is.
    """
    if (found := unfit(path, stat.S_IFREG)) is not None:
        raise UserError(f"{path} is {found}. A study is kept there: move it away.")
    if path.exists() and not is_journal(path.read_bytes()):
        raise _no_journal(path, path.read_bytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of Optuna's two locks, the one that also works on network file systems (NFS 3 and later).
    lock = JournalFileOpenLock(str(path))
    _cut_off_torn_end(path, lock)
    try:
        return JournalStorage(JournalFileBackend(str(path), lock))
    except UNREADABLE as error:
        raise damaged(path) or error from error


def damaged(path: Path) -> UserError | None:
    """What to do about the first line that is not a record; None if there is none."""
    replayed = JournalStorage(one := _OneLine())
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        if not (_is_record(line) and _is_taken(line, replayed, one)):
            return UserError(
                f"{path}: line {number} is not a record of a study: {line[:_SHOWN]!r}. What "
                "follows cannot be read. Restore a backup; or, if there is none, "
                f"leave that line out: `sed -i.bak {number}d {shlex.quote(str(path))}` keeps the "
                f"file as {path}.bak. Or start a new study, with another "
                "hydra.sweep.dir or hydra.sweeper.storage."
            )
    return None


def _cut_off_torn_end(path: Path, lock: JournalFileOpenLock) -> None:
    if not path.exists() or _ends_in_a_record(path.read_bytes()):
        return
    lock.acquire()
    try:
        found = path.read_bytes()  # another process may just have written the end
        if not _ends_in_a_record(found):
            torn = found[_length_of_records(found) :]
            log.warning(
                "%s: its last record was torn and has been cut off: %r", path, torn[:_SHOWN]
            )
            os.truncate(path, len(found) - len(torn))
    finally:
        lock.release()


def _no_journal(path: Path, found: bytes) -> UserError:
    """What to say about a file that does not begin as a journal does."""
    if begins_as_sqlite(found):
        return UserError(
            f"{path} is an SQLite database, which is given by its URL: "
            f"hydra.sweeper.storage=sqlite:///{path}"
        )
    return UserError(
        f"{path} is not the journal of a study: it begins with {found[:_SHOWN]!r}. Move it away, "
        "or use another hydra.sweep.dir or hydra.sweeper.storage."
    )


def _ends_in_a_record(found: bytes) -> bool:
    return _length_of_records(found) == len(found)


def _length_of_records(found: bytes) -> int:
    """The length of a journal without the incomplete record at its end."""
    end = found.rfind(b"\n") + 1
    while end and not _is_record(found[found.rfind(b"\n", 0, end - 1) + 1 : end]):
        end = found.rfind(b"\n", 0, end - 1) + 1
    return end


def _is_record(line: bytes) -> bool:
    try:
        return "op_code" in json.loads(line)
    except (ValueError, TypeError):  # not JSON, or a number
        return False


class _OneLine(BaseJournalBackend):
    """Holds one record, which is read as soon as the storage is asked for anything."""

    def __init__(self) -> None:
        self.record: list[dict[str, Any]] = []

    @override
    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        return self.record

    @override
    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise NotImplementedError


def _is_taken(line: bytes, replayed: JournalStorage, one: _OneLine) -> bool:
    """Whether Optuna reads a record behind those that were replayed before it."""
    one.record = [json.loads(line)]
    try:
        replayed.get_all_studies()
    except UNREADABLE:
        return False
    return True
