"""The storage of a study: a journal file or a database, which may be briefly unreachable."""

import contextlib
import functools
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from optuna.storages import BaseStorage, RDBStorage, get_storage

from runwright.errors import UserError
from runwright.plain import real_path
from runwright.sweep.journal import UNREADABLE, damaged, open_journal
from runwright.sweep.sqlite_file import prepare_sqlite

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

log = logging.getLogger(__name__)

T = TypeVar("T")

_PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0, *[15.0] * 19)
"""Seconds between attempts; five minutes in all."""


def absolute(where: str) -> str:
    """What `hydra.sweeper.storage` names, valid in any working directory.

    Raises:
        UserError: only the process that opens it would see it.
    """
    if "://" not in where:
        return str(real_path(where))
    if not where.startswith("sqlite"):
        return where
    url = _url(where)
    if url.database in (None, "", ":memory:"):
        raise UserError(
            f"hydra.sweeper.storage={where}: a database in memory is not seen by the trials, which "
            "are processes of their own. Name a file, sqlite:///study.db, or leave it out."
        )
    if url.database.startswith("file:"):  # a URI of SQLite's own
        return where
    path = str(real_path(url.database))
    return url.set(database=path).render_as_string(hide_password=False)


def refuse_foreign_file(where: str) -> None:
    """Look at the file of an SQLite database before it is opened, if `where` names one.

    Raises:
        UserError: a study cannot be kept in it.
    """
    if where.startswith("sqlite"):
        file = _url(where).database
        if file not in (None, "", ":memory:") and not file.startswith("file:"):
            prepare_sqlite(Path(file).resolve())


def _url(where: str) -> "URL":
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(where)
    except ArgumentError as error:
        raise UserError(f"hydra.sweeper.storage={where}: {error}") from error


def open_storage(where: str) -> BaseStorage:
    """Open what `hydra.sweeper.storage` names: a journal file, or a database by its URL.

    Raises:
        UserError: it cannot be opened.
    """
    try:
        if "://" in where:
            refuse_foreign_file(where)
            return _patient(get_storage(_open_database(where)))
        return _patient(open_journal(Path(where)), Path(where))
    except UserError:
        raise
    except ImportError as error:
        raise UserError(
            f"hydra.sweeper.storage={where} needs a package that is not installed: {error}. "
            "For PostgreSQL: `pip install psycopg[binary]` and postgresql+psycopg://…"
        ) from error
    except Exception as error:  # every database has errors of its own
        said = str(error).partition("\n(Background on this error")[0]
        raise UserError(f"hydra.sweeper.storage={where} cannot be opened: {said}") from error


def _patient(storage: BaseStorage, journal: Path | None = None) -> BaseStorage:
    return cast("BaseStorage", PatientStorage(storage, journal))


def _open_database(url: str) -> RDBStorage:
    """Open a database; if several processes find it empty, one of them makes the tables."""
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    for _ in range(5):
        with contextlib.suppress(IntegrityError, OperationalError, ProgrammingError):
            return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
        time.sleep(0.5)
    return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})


def is_out_of_reach(error: Exception) -> bool:
    """Whether an error says that the storage is unreachable, not that the request was wrong."""
    from sqlalchemy.exc import InterfaceError, OperationalError

    cause = error.__cause__ or error  # Optuna's, or ours, wraps the database's own
    return isinstance(cause, OSError | InterfaceError | OperationalError)


class Patience:
    """Retries for five minutes if there is no answer; after that, tries once at a time."""

    def __init__(self) -> None:
        self._answers = True
        self._pauses = _PAUSES

    def until_answered(self, ask: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Ask, and ask again while the storage is unreachable.

        Raises:
            Exception: the last error, or one about the request itself.
        """
        for pause in (*self._pauses, None):
            try:
                answer = ask(*args, **kwargs)
            except Exception as error:
                if not is_out_of_reach(error):
                    raise
                if pause is None:
                    self._pauses = ()
                    raise
                if self._answers:
                    self._answers = False
                    log.warning(
                        "The study's storage is unreachable; asking again for %d s: %s",
                        sum(self._pauses),
                        str(error.__cause__ or error).partition("\n")[0],
                    )
                time.sleep(pause)
            else:
                if not self._answers:
                    log.info("The study's storage answers again.")
                self._answers, self._pauses = True, _PAUSES
                return answer
        raise AssertionError("the last attempt returns or raises")


class PatientStorage:
    """Wraps a storage so that every request is retried patiently."""

    def __init__(self, storage: BaseStorage, journal: Path | None) -> None:
        self._storage = storage
        self._journal = journal
        self._patience = Patience()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._storage, name)
        return functools.partial(self._ask, found) if callable(found) else found

    def _ask(self, ask: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return self._patience.until_answered(ask, *args, **kwargs)
        except UNREADABLE as error:
            told = None if self._journal is None else damaged(self._journal)
            if told is None:
                raise
            raise told from error
