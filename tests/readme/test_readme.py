"""Every command in the README and on the pages of docs/ does what is shown there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from readme.pages import (
    REPOSITORY,
    Shown,
    check,
    copy_of_project,
    inline_code,
    shown_commands,
    shown_files,
)
from runwright import compose

README = (REPOSITORY / "README.md").read_text()
# Those of docs/clusters.md need a cluster: tests/cluster/test_page.py runs them.
PAGES = {"README.md": README, "sweeps.md": (REPOSITORY / "docs" / "sweeps.md").read_text()}
ALL_PAGES = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]
COMMANDS = [(name, shown) for name, page in PAGES.items() for shown in shown_commands(page)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_project(tmp_path_factory.mktemp("clone"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "number", range(len(COMMANDS)), ids=[f"{name}: {shown.command}" for name, shown in COMMANDS]
)
def test_a_command_prints_what_is_shown(project: Path, number: int) -> None:
    check(COMMANDS[number][1], project)


FILES = [shown for page in ALL_PAGES for shown in shown_files(page.read_text())]


@pytest.mark.parametrize(("path", "content"), FILES, ids=[path for path, _ in FILES])
def test_a_file_that_is_shown_has_this_content(path: str, content: str) -> None:
    lines = (REPOSITORY / path).read_text().splitlines()
    if path.endswith(".yaml"):  # the files may open with what to expect of them
        is_shown = [not line.startswith("# ") or "@package" in line for line in lines]
        lines = [line for line, shown in zip(lines, is_shown, strict=True) if shown]
    assert lines == content.splitlines()


@pytest.mark.slow
def test_the_python_example_runs(project: Path) -> None:
    pattern = r"```python\n(from runwright import compose\n.*?)```"
    (example,) = re.findall(pattern, README, re.DOTALL)
    check = f"{example}\nassert 0 < accuracy < 1\nassert config.model.kernel_size == 5\n"
    subprocess.run([sys.executable, "-c", check], cwd=project, check=True, capture_output=True)


PROSE = [(page.name, code) for page in ALL_PAGES for code in inline_code(page.read_text())]
# Those that begin with `hydra` need --multirun, and sweeps.md leaves out `hydra.sweeper.`:
# tests/sweep and tests/cluster try them.
OVERRIDES = {
    code
    for name, code in PROSE
    if re.fullmatch(r"(?!hydra)\+?[a-z][\w./]*=[\w./-]+", code) and name != "sweeps.md"
}


@pytest.mark.parametrize("override", sorted(OVERRIDES))
def test_an_override_in_the_text_is_accepted(override: str) -> None:
    compose([override], conf=REPOSITORY / "conf")


TOLD = {code for _, code in PROSE if re.fullmatch(r"python -m runwright [^|…]+", code)}


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted(TOLD - {shown.command for _, shown in COMMANDS}))
def test_a_command_in_the_text_runs(project: Path, command: str) -> None:
    if "results" in command:
        check(Shown("python main.py --multirun seed=1,2 training.max_steps=1", ""), project)
    check(Shown(command, ""), project)


@pytest.mark.parametrize("page", ALL_PAGES, ids=[page.name for page in ALL_PAGES])
def test_every_file_that_is_linked_exists(page: Path) -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_every_console_block_has_a_command() -> None:
    assert len(shown_commands(README)) >= 25
    for page in PAGES.values():
        assert page.count("```console") <= len(shown_commands(page))
