"""The page on cells under perturbation: its commands, its TOML, and tables that the code makes."""

import re
import tomllib
from pathlib import Path

import pytest

from readme.pages import REPOSITORY, check, shown_commands
from readme.perturbation_tables import PAGE, in_page, tables
from runwright.domains.perturbation.data_plan import read_plan

TEXT = PAGE.read_text()
COMMANDS = shown_commands(TEXT)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=[one.command for one in COMMANDS])
def test_a_command_prints_what_is_shown(project: Path, number: int) -> None:
    check(COMMANDS[number], project)


@pytest.mark.parametrize("name", tables())
def test_a_table_is_what_the_rules_and_options_say(name: str) -> None:
    made = tables()[name]
    assert in_page(TEXT, {name: made}) == TEXT  # tests/readme/perturbation_tables.py writes it


def test_the_toml_that_is_shown_is_read(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    assert tomllib.loads(shown)["datasets"] == {"simulated": "cells"}
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "a.h5ad").touch()
    (tmp_path / "plan.toml").write_text(shown)
    plan = read_plan(tmp_path / "plan.toml")
    assert plan.split_of("simulated", "type_14", "gene_001") == "test"
    assert plan.split_of("simulated", "type_12", "gene_218") == "val"
    assert plan.split_of("simulated", "type_12", "gene_001") == "train"


def test_the_page_is_linked() -> None:
    assert "(docs/perturbation.md)" in (REPOSITORY / "README.md").read_text()
