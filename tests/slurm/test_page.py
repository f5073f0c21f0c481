"""Every command on the page about clusters does what is shown there."""

from pathlib import Path

import pytest

from readme.pages import REPOSITORY, check, copy_of_project, shown_commands
from slurm.slurm import Slurm

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_the_commands_print_what_is_shown(slurm: Slurm, tmp_path: Path) -> None:
    project = copy_of_project(tmp_path)
    for shown in shown_commands((REPOSITORY / "docs" / "clusters.md").read_text()):
        check(shown, project, env=slurm.env)
