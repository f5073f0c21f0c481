"""Every command in the README does what is shown there, and the example in Python runs.

A training of which no result is shown ends after a few steps: a line in the copied `config.yaml`
says so.
"""

import re
from pathlib import Path

import pytest

from programs import run_python
from readme.pages import REPOSITORY, Shown, check, shown_commands

README = (REPOSITORY / "README.md").read_text()
COMMANDS = shown_commands(README)
RESULTS = ("Best ", "val_")
# These say how long they train, or others go on with what they have trained.
OF_A_LENGTH = ("training.", "stage=", "hydra.run.dir=", "--config-dir")
SHORT = "training: {max_steps: 5}\n"


def trains_for_nothing(shown: Shown) -> bool:
    """Whether a command trains, and neither its result nor the length of the training is shown."""
    return shown.command.startswith("python main.py ") and not any(
        text in part
        for part, texts in ((shown.output, RESULTS), (shown.command, OF_A_LENGTH))
        for text in texts
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=[one.command for one in COMMANDS])
def test_a_command_prints_what_is_shown(project: Path, number: int) -> None:
    usual = project / "conf" / "config.yaml"
    content = usual.read_text()
    if trains_for_nothing(COMMANDS[number]):
        usual.write_text(content + SHORT)
    try:
        check(COMMANDS[number], project)
    finally:
        usual.write_text(content)


def test_the_commands_are_found() -> None:
    assert len(COMMANDS) >= 25


@pytest.mark.slow
def test_the_python_example_runs(project: Path) -> None:
    pattern = r"```python\n(from runwright import compose\n.*?)```"
    (example,) = re.findall(pattern, README, re.DOTALL)
    check = f"{example}\nassert 0 < accuracy < 1\nassert config.model.kernel_size == 5\n"
    run_python("-c", check, cwd=project, check=True)
