"""Every command in the README does what is shown there, and the example in Python runs."""

import re
from pathlib import Path

import pytest

from programs import run_python
from readme.pages import REPOSITORY, check, shown_commands

README = (REPOSITORY / "README.md").read_text()
COMMANDS = shown_commands(README)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=[one.command for one in COMMANDS])
def test_a_command_prints_what_is_shown(project: Path, number: int) -> None:
    check(COMMANDS[number], project)


def test_the_commands_are_found() -> None:
    assert len(COMMANDS) >= 25


@pytest.mark.slow
def test_the_python_example_runs(project: Path) -> None:
    pattern = r"```python\n(from runwright import compose\n.*?)```"
    (example,) = re.findall(pattern, README, re.DOTALL)
    check = f"{example}\nassert 0 < accuracy < 1\nassert config.model.kernel_size == 5\n"
    run_python("-c", check, cwd=project, check=True)
