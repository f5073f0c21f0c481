"""The folders of tests are those of the source."""

from pathlib import Path
from typing import Final

from conftest import REPOSITORY

TESTS: Final = REPOSITORY / "tests"
OTHERS: Final = {
    "readme": "the pages of the documentation",
    "training/resume": "how a run goes on, which all of `training/` and `rundir/` does together",
}


def test_every_folder_of_tests_is_one_of_the_source() -> None:
    folders = {file.parent.relative_to(TESTS) for file in TESTS.rglob("test_*.py")}
    without = {folder for folder in folders if not (REPOSITORY / "src/runwright" / folder).is_dir()}
    assert without == {Path(folder) for folder in OTHERS}
