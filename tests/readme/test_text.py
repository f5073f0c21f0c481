"""Whatever the pages mention exists: files, links, options, commands."""

import re
from pathlib import Path

import pytest

from readme.pages import (
    REPOSITORY,
    Shown,
    check,
    inline_code,
    shown_commands,
    shown_files,
)
from runwright import compose

PAGES = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]
# Tables that are made from the code are held to it by test_perturbation_page.py.
PROSE = [
    (page.name, code)
    for page in PAGES
    for code in inline_code(re.sub(r"<!-- table: .*?\n\n", "", page.read_text(), flags=re.DOTALL))
]
# What the options on a page go with, where it is not the usual configuration.
BESIDE = {"perturbation.md": ("+experiment=perturbation/first_run",)}
# Those that begin with `hydra` need --multirun, and sweeps.md leaves out `hydra.sweeper.`:
# tests/sweep and tests/slurm try them.
# Members that the cookbook's recipes make themselves.
MADE = re.findall(
    r'conf/[\w/]+/(\w+)\.yaml -->|factory\("(\w+)"\)', (REPOSITORY / "docs/cookbook.md").read_text()
)
OVERRIDES = {
    (code,) if code in BESIDE.get(name, ()) else (*BESIDE.get(name, ()), code)
    for name, code in PROSE
    if re.fullmatch(r"(?!hydra)\+?[a-z][\w./]*=[\w./-]+", code) and name != "sweeps.md"
    if (code.partition("=")[2] not in {name for names in MADE for name in names})
}
SHOWN = {shown.command for page in PAGES for shown in shown_commands(page.read_text())}
TOLD = {code for _, code in PROSE if re.fullmatch(r"python -m runwright [^|…]+", code)} - SHOWN
# Those of the cookbook are the reader's own: test_cookbook.py writes them.
FILES = [
    shown for page in PAGES if page.name != "cookbook.md" for shown in shown_files(page.read_text())
]


@pytest.mark.parametrize("overrides", sorted(OVERRIDES), ids=" ".join)
def test_an_override_is_accepted(overrides: tuple[str, ...]) -> None:
    compose(overrides, conf=REPOSITORY / "conf")


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted(TOLD))
def test_a_command_runs(project: Path, command: str) -> None:
    if "results" in command:
        check(
            Shown("python main.py --multirun seed=1,2 training.max_steps=1 model.hidden_dim=8", ""),
            project,
        )
    check(Shown(command, ""), project)


@pytest.mark.parametrize(("path", "content"), FILES, ids=[path for path, _ in FILES])
def test_a_file_that_is_shown_has_this_content(path: str, content: str) -> None:
    lines = (REPOSITORY / path).read_text().splitlines()
    if path.endswith(".yaml"):  # the files may open with what to expect of them
        is_shown = [not line.startswith("# ") or "@package" in line for line in lines]
        lines = [line for line, shown in zip(lines, is_shown, strict=True) if shown]
    assert lines == content.splitlines()


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_file_that_is_linked_exists(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\((?!http)([^)#]+)", prose):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize(
    "page",
    [*PAGES, REPOSITORY / "CONTRIBUTING.md"],
    ids=lambda page: page.name,
)
def test_every_file_of_python_that_is_named_exists(page: Path) -> None:
    files = {f"/{path.relative_to(REPOSITORY)}" for path in REPOSITORY.glob("*/**/*.py")}
    files.add("/main.py")
    for code in inline_code(page.read_text()):
        if re.fullmatch(r"[\w/]+\.py", code):
            assert any(path.endswith(f"/{code}") for path in files), code


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_console_block_has_a_command(page: Path) -> None:
    text = page.read_text()
    assert text.count("```console") <= len(shown_commands(text))


def test_the_tests_lie_in_the_folders_of_what_they_test() -> None:
    source, tests = REPOSITORY / "src" / "runwright", REPOSITORY / "tests"
    for part in (".", "domains"):
        folders = {path.parent.name for path in (tests / part).glob("*/*.py")} - {"readme"}
        assert folders <= {path.parent.name for path in (source / part).glob("*/*.py")}
