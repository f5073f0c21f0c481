"""Every command on the page about sweeps does what is shown there."""

from pathlib import Path

import pytest

from readme.pages import REPOSITORY, check, shown_commands

COMMANDS = shown_commands((REPOSITORY / "docs" / "sweeps.md").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=[one.command for one in COMMANDS])
def test_a_command_prints_what_is_shown(project: Path, number: int) -> None:
    check(COMMANDS[number], project)
