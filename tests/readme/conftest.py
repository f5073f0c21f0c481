"""What the tests of the pages share."""

from pathlib import Path

import pytest

from readme.pages import copy_of_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a clone holds, for the commands of one page, in order."""
    return copy_of_project(tmp_path_factory.mktemp("clone"))
