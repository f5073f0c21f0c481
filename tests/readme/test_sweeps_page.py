"""Every command on the page about sweeps does what is shown there."""

from pathlib import Path

import pytest

from readme.pages import REPOSITORY, check, copy_of_project, shown_commands

COMMANDS = shown_commands((REPOSITORY / "docs" / "sweeps.md").read_text())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_project(tmp_path_factory.mktemp("clone"))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=[one.command for one in COMMANDS])
def test_a_command_prints_what_is_shown(project: Path, number: int) -> None:
    check(COMMANDS[number], project)
