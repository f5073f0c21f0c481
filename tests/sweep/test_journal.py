"""A journal that was cut short while being written."""

import contextlib
import json
import os
import sqlite3
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from runwright import UserError
from runwright.sweep import study
from runwright.sweep.journal import open_journal

JOURNAL = Path("journal.log")


def opened() -> optuna.Study:
    parts = (optuna.samplers.RandomSampler(seed=1), optuna.pruners.NopPruner())
    return study.create(str(JOURNAL), "shared", ["minimize"], *parts)


@pytest.fixture
def number() -> int:
    """A trial that has reported once."""
    trial = opened().ask()
    trial.report(0.5, step=3)
    return trial.number


@pytest.mark.parametrize(
    "end", [b"\n", b"\n\n", b"\0\0\0\0", b"\0\0\0\n", b'{"op_code":6,"wor\n', b"\xff\n", b"3\n"]
)
def test_what_is_no_record_at_the_end_is_cut_off(
    number: int, caplog: pytest.LogCaptureFixture, end: bytes
) -> None:
    whole = JOURNAL.read_bytes()
    JOURNAL.write_bytes(whole + end)
    opened().tell(number, 0.9)
    assert "its last record was torn and has been cut off: " in caplog.text
    assert JOURNAL.read_bytes().startswith(whole)
    (trial,) = opened().trials
    assert (trial.value, trial.intermediate_values) == (0.9, {3: 0.5})


def test_half_a_record_at_the_end_is_cut_off(number: int, caplog: pytest.LogCaptureFixture) -> None:
    os.truncate(JOURNAL, JOURNAL.stat().st_size - 10)  # in the report of step 3
    opened().tell(number, 0.9)
    assert "its last record was torn and has been cut off: " in caplog.text
    (trial,) = opened().trials
    assert (trial.value, trial.intermediate_values) == (0.9, {})


@pytest.mark.parametrize("found", [b"my notes\n", b'{"mine": 1}\n', b"a: 1\nb"])
def test_a_file_without_a_record_is_refused_and_stays_as_it_is(found: bytes) -> None:
    JOURNAL.write_bytes(found)
    with pytest.raises(UserError, match=r"journal\.log is not the journal of a study: it begins "):
        open_journal(JOURNAL)
    assert JOURNAL.read_bytes() == found


def test_a_database_that_is_named_without_its_scheme_is_refused_with_its_url() -> None:
    with contextlib.closing(sqlite3.connect(JOURNAL)) as database:
        database.execute("create table trials (number)")
        database.commit()
    found = JOURNAL.read_bytes()
    with pytest.raises(UserError, match=r"hydra\.sweeper\.storage=sqlite:///journal\.log$"):
        open_journal(JOURNAL)
    assert JOURNAL.read_bytes() == found


def test_an_empty_file_is_a_new_journal() -> None:
    JOURNAL.touch()
    assert opened().trials == []


LACKING = [b'{"op_code": 4}', b'{"op_code":4,"worker_id":"x","study_id":0}', b'{"op_code":99}']


@pytest.mark.parametrize("line", LACKING, ids=repr)
@pytest.mark.parametrize("behind", [b"", b"\n"], ids=["last", "before another"])
def test_a_record_that_lacks_a_part_is_named_wherever_it_stands(
    number: int, line: bytes, behind: bytes
) -> None:
    whole = JOURNAL.read_bytes()
    further = whole.splitlines()[-1] + behind if behind else b""
    JOURNAL.write_bytes(whole + line + b"\n" + further)
    place = whole.count(b"\n") + 1
    with pytest.raises(UserError, match=rf"line {place} is not a record .*sed -i\.bak {place}d"):
        open_journal(JOURNAL)
    assert JOURNAL.read_bytes() == whole + line + b"\n" + further


def test_a_record_that_lacks_a_part_meanwhile_is_named(number: int) -> None:
    ours = opened()
    place = JOURNAL.read_bytes().count(b"\n") + 1
    with JOURNAL.open("a") as file:
        file.write('{"op_code": 4}\n')
    with pytest.raises(UserError, match=f"line {place} is not a record of a study: "):
        ours.ask()


@pytest.mark.parametrize("line", [b"", b"\0\0", b'{"op_code":6,"wor', b"3", b"{}"])
def test_a_line_in_the_middle_is_named_and_nothing_is_lost(number: int, line: bytes) -> None:
    first, *others = JOURNAL.read_bytes().splitlines(keepends=True)
    damaged = b"".join([first, line + b"\n", *others])
    JOURNAL.write_bytes(damaged)
    said = r"journal\.log: line 2 is not a record .*sed -i\.bak 2d journal\.log"
    with pytest.raises(UserError, match=said):
        open_journal(JOURNAL)
    assert JOURNAL.read_bytes() == damaged


def test_a_line_that_is_torn_meanwhile_is_named(number: int) -> None:
    ours = opened()
    record = json.dumps({"op_code": 2, "worker_id": "x", "study_id": 0, "user_attr": {"a": 1}})
    with JOURNAL.open("a") as file:
        file.write(f'{{"op_co\n{record}\n')
    with pytest.raises(UserError, match=r"line \d+ is not a record of a study: "):
        ours.ask()


def test_a_journal_that_was_mended_goes_on(number: int) -> None:
    JOURNAL.write_bytes(JOURNAL.read_bytes() + b"\n")
    assert opened().trials[0].state is TrialState.RUNNING
