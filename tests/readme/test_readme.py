"""Every command in the README does what the README shows.

In a block of the kind `console`, lines after `$ ` are commands, and what follows is their output;
`…` stands for any characters, and on a line of its own for any lines. The commands run in
order, in one copy of the project. A block after `<!-- file: PATH -->` is the content of that file.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

REPOSITORY = Path(__file__).parent.parent.parent
README = (REPOSITORY / "README.md").read_text()
ANY = "…"


@attrs.frozen
class Shown:
    """A command and the output that is shown for it."""

    command: str
    output: str


def shown_commands() -> list[Shown]:
    found: list[Shown] = []
    for block in re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append(Shown(command, output))
    return found


def as_pattern(output: str) -> str:
    """A regular expression for an output as it is shown."""
    pattern = ""
    for line in output.splitlines():
        if line == ANY:
            pattern += r"(?:.*\n)*?"
        else:
            pattern += r".*?".join(re.escape(piece) for piece in line.split(ANY)) + r"\n"
    return pattern


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a clone holds."""
    copy = tmp_path_factory.mktemp("clone") / "runwright"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (REPOSITORY / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, copy / name)
    return copy


COMMANDS = shown_commands()


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=[c.command for c in COMMANDS])
def test_a_command_prints_what_is_shown(project: Path, number: int) -> None:
    shown = COMMANDS[number]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        shown.command,
        shell=True,
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PATH": path},
    )
    assert "Traceback" not in done.stdout
    assert re.fullmatch(as_pattern(shown.output), done.stdout) or not shown.output, done.stdout
    is_mistake = "Did you mean" in shown.output or "Could not" in shown.output
    is_mistake |= "leave no pixels" in shown.output
    assert done.returncode == (2 if is_mistake else 0), done.stdout


FILES = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize(("path", "content"), FILES, ids=[path for path, _ in FILES])
def test_a_file_that_is_shown_has_this_content(path: str, content: str) -> None:
    lines = (REPOSITORY / path).read_text().splitlines()
    if path.endswith(".yaml"):  # the files may open with what to expect of them
        lines = [line for line in lines if not line.startswith("# ") or "@package" in line]
    assert lines == content.splitlines()


@pytest.mark.slow
def test_the_python_example_runs(project: Path) -> None:
    pattern = r"```python\n(from runwright import compose\n.*?)```"
    (example,) = re.findall(pattern, README, re.DOTALL)
    check = f"{example}\nassert 0 < accuracy < 1\nassert config.model.kernel_size == 5\n"
    subprocess.run([sys.executable, "-c", check], cwd=project, check=True, capture_output=True)


def test_every_file_that_is_linked_exists() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (REPOSITORY / link).exists(), link


def test_every_console_block_has_a_command() -> None:
    assert len(COMMANDS) >= 25
    assert README.count("```console") <= len(COMMANDS)
