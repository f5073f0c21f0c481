"""A database that is not a study's is refused, and stays as it is."""

import contextlib
import os
import sqlite3
from pathlib import Path

import optuna
import pytest

from runwright import UserError
from runwright.sweep.storage import open_storage

FILE = Path("study.db")
URL = f"sqlite:///{FILE}"


def made(*statements: str) -> bytes:
    with contextlib.closing(sqlite3.connect(FILE)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()
    return FILE.read_bytes()


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (("create table notes (a)", "insert into notes values (1)"), "it has the table notes. Use"),
        (("create table b (a)", "create table a (a)"), "it has the tables a, b. Use"),
        (("create table studies (a)",), "it has the table studies. Use"),
        (("create table trials (a)", "create view mine as select a from trials"), "table mine. Us"),
    ],
)
def test_the_database_of_another_program_is_refused(statements: tuple[str, ...], said: str) -> None:
    found = made(*statements)
    with pytest.raises(UserError, match=said):
        open_storage(URL)
    assert FILE.read_bytes() == found


def test_a_file_that_is_no_database_is_refused() -> None:
    FILE.write_text("my notes\n" * 300)
    with pytest.raises(UserError, match="not an SQLite database: it begins with b'my notes"):
        open_storage(URL)
    assert FILE.read_text() == "my notes\n" * 300


def test_a_folder_and_a_pipe_are_refused() -> None:
    FILE.mkdir()
    with pytest.raises(UserError, match=r"this is a folder\. Name a file"):
        open_storage(URL)
    Path("file").touch()
    with pytest.raises(UserError, match="file/below/study.db: .*/file/below: Not a directory"):
        open_storage("sqlite:///file/below/study.db")
    os.mkfifo("pipe.db")
    with pytest.raises(UserError, match=r"this is a pipe\. Name a file"):
        open_storage("sqlite:///pipe.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to any file")
def test_a_study_that_cannot_be_written_to_is_refused() -> None:
    open_storage(URL)
    FILE.chmod(0o444)
    with pytest.raises(UserError, match="the file cannot be written to"):
        open_storage(URL)


def test_a_study_is_opened_also_with_tables_beside_it_and_in_a_new_folder() -> None:
    FILE.touch()
    for where in (URL, "sqlite:///new/folder/study.db"):
        optuna.create_study(study_name="one", storage=open_storage(where))
    made("create table notes (a)")
    assert optuna.load_study(study_name="one", storage=open_storage(URL)).trials == []


def test_a_database_whose_tables_are_being_made_is_not_refused() -> None:
    made("create table version_info (version_info_id integer primary key)")
    with pytest.raises(UserError, match="cannot be opened") as caught:  # it stays incomplete here
        open_storage(URL)
    assert "of another program" not in str(caught.value)
    assert "Background" not in str(caught.value)
