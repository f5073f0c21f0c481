"""Every recipe of the cookbook works, with the files and the commands that it shows."""

import re
from pathlib import Path

import pytest

from readme.pages import REPOSITORY, check, copy_of_project, shown_commands, shown_files

PAGE = (REPOSITORY / "docs" / "cookbook.md").read_text()
RECIPES = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE))


@pytest.mark.slow
@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_works(title: str, tmp_path: Path) -> None:
    project = copy_of_project(tmp_path)
    blocks = re.findall(r"(?:<!-- file: \S+ -->\n)?```\w+\n.*?```", RECIPES[title], re.DOTALL)
    for block in blocks:  # a file may be shown again, changed, after a command
        for path, content in shown_files(block):
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_text(content)
        for shown in shown_commands(block):
            check(shown, project)
