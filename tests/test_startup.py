"""Nothing heavy is imported until something is built."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "torchvision", "wandb", "pandas", "matplotlib", "optuna", "submitit", "scipy")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["model=cnn", "--help"], ["--cfg", "job"], ["--shell-completion", "query=bash"]],
    ids=" ".join,
)
def test_asking_for_help_or_the_configuration_imports_nothing_heavy(
    repository: Path, arguments: list[str]
) -> None:
    script = (
        "import runpy, sys\n"
        f"sys.argv = {['main.py', *arguments]!r}\n"
        "try:\n"
        "    runpy.run_path('main.py', run_name='__main__')\n"
        "except SystemExit:\n"
        "    pass\n"
        f"print('HEAVY:', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COMP_LINE": "python main.py model="},
    )
    assert done.stdout.splitlines()[-1] == "HEAVY: []"


def test_composing_imports_nothing_heavy(repository: Path) -> None:
    script = (
        "import sys\n"
        "from runwright import compose\n"
        "compose(['model=cnn', 'opt.lr=0.1'])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=repository, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
