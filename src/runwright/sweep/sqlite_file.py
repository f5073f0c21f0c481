"""The SQLite file that a study is to be kept in: whether it is one, and no other program's."""

import contextlib
import os
import re
import sqlite3
import stat
from pathlib import Path
from typing import Final

from runwright.errors import UserError
from runwright.rundir.layout import unfit

_BEGIN: Final = b"SQLite format 3\0"
_SHOWN: Final = 60
# Optuna makes its tables one by one, so another process may find only some of them.
_OPTUNAS: Final = re.compile(r"(stud(y|ies)|trials?)(_\w+)?|version_info|alembic_version|sqlite_.*")
_OTHER: Final = "Use another hydra.sweeper.storage; nothing was changed in this one."


def begins_as_sqlite(content: bytes) -> bool:
    """Whether this is the beginning of an SQLite database."""
    return content.startswith(_BEGIN)


def prepare_sqlite(path: Path) -> None:
    """Make the folder of a study's database, and look at the file if there is one.

    Raises:
        UserError: it is not an SQLite database, or that of another program, or cannot be written.
    """
    where = f"hydra.sweeper.storage=sqlite:///{path}"
    if (found := unfit(path, stat.S_IFREG)) is not None:
        raise UserError(f"{where}: this is {found}. Name a file.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{where}: {error.filename}: {error.strerror}.") from error
    if not path.exists():
        return
    with path.open("rb") as file:
        begin = file.read(_SHOWN)
    if begin and not begins_as_sqlite(begin):
        raise UserError(
            f"{where}: this is not an SQLite database: it begins with {begin!r}. {_OTHER}"
        )
    if not os.access(path, os.W_OK):
        raise UserError(
            f"{where}: the file cannot be written to. Use another hydra.sweeper.storage."
        )
    if foreign := _tables_of_others(path):
        raise UserError(
            f"{where}: this is the database of another program: it has "
            f"{'the table' if len(foreign) == 1 else 'the tables'} {', '.join(foreign)}. {_OTHER}"
        )


def _tables_of_others(path: Path) -> list[str]:
    """The tables of a database that is not a study's, as far as it can be read now."""
    with contextlib.suppress(sqlite3.OperationalError):  # locked: it is looked at when it is opened
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            tables = [str(name) for (name,) in database.execute("select name from sqlite_master")]
            if "studies" in tables:
                columns = [row[1] for row in database.execute("pragma table_info(studies)")]
                return [] if "study_name" in columns else ["studies"]
        return sorted(name for name in tables if not _OPTUNAS.fullmatch(name))
    return []
