"""Nothing heavy is imported until something is built."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "torchvision", "wandb", "pandas", "matplotlib", "optuna", "submitit", "scipy")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["model=cnn", "--help"],
        ["--cfg", "job"],
        ["--shell-completion", "query=bash"],
        ["opt.lrr=1", "opt.lr=0.1"],
        ["model=cn", "seed=x", "+trainig.epochs=3"],
        ["model=cnn", "model.hidden_dim=10"],
        ["-m", "model=cnn,fcn", "seed=1,x"],
        ["dm=celeba", "dm.root=nowhere"],
        ["checkpoint.load=nowhere"],
    ],
    ids=" ".join,
)
def test_help_and_mistakes_that_need_no_building_import_nothing_heavy(
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
    assert done.stderr or "=" not in arguments[-1] or arguments[-1].startswith("query")
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
