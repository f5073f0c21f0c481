"""What the pages of the documentation show: commands, their output, files.

In a block of the kind `console`, lines after `$ ` are commands, and what follows is their output;
`…` stands for any characters, and on a line of its own for any lines. The commands run in
order, in one copy of the project. A block after `<!-- file: PATH -->` is the content of that file.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import attrs

from programs import run_shown

REPOSITORY = Path(__file__).parents[2]
ANY = "…"


@attrs.frozen
class Shown:
    """A command and the output that is shown for it."""

    command: str
    output: str


def shown_commands(page: str) -> list[Shown]:
    """Every command of a page, in order."""
    found: list[Shown] = []
    for block in re.findall(r"```console\n(.*?)```", page, flags=re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append(Shown(command, output))
    return found


def shown_files(page: str) -> list[tuple[str, str]]:
    """Every file that a page shows: its path and its content."""
    return re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", page, flags=re.DOTALL)


def inline_code(page: str) -> list[str]:
    """What stands in the text between backticks: options, commands, names."""
    text = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


def as_pattern(output: str) -> str:
    """A regular expression for an output as it is shown."""
    pattern = ""
    for line in output.splitlines():
        if line == ANY:
            pattern += r"(?:.*\n)*?"
        else:
            pattern += r".*?".join(re.escape(piece) for piece in line.split(ANY)) + r"\n"
    return pattern


def copy_of_project(folder: Path) -> Path:
    """A copy of what a clone holds."""
    copy = folder / "runwright"
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


def check(shown: Shown, project: Path, env: Mapping[str, str] | None = None) -> None:
    """Run a command in a copy of the project, and compare what it prints with what is shown."""
    done = run_shown(shown.command, cwd=project, env=env, stderr=subprocess.STDOUT)
    assert "Traceback" not in done.stdout, done.stdout
    assert re.fullmatch(as_pattern(shown.output), done.stdout) or not shown.output, done.stdout
    is_mistake = "Did you mean" in shown.output or "is not an option" in shown.output
    is_mistake |= "leave no pixels" in shown.output or "does not match the model" in shown.output
    is_mistake |= "Let torchvision fetch it" in shown.output
    assert done.returncode == (2 if is_mistake else 0), done.stdout
