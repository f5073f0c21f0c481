"""The example of a lab's own project: short, and run as shown."""

import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples" / "own_project"


def code_lines(path: Path) -> list[str]:
    """Lines that are neither blank, nor comment, nor docstring, nor for the type checker alone."""
    text = re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL)
    text = text.replace("from typing import TYPE_CHECKING\n", "")
    text = re.sub(r"if TYPE_CHECKING:\n    .*\n", "", text)
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_a_factory_and_its_main_are_under_15_lines_of_code() -> None:
    total = len(code_lines(EXAMPLE / "models.py")) + len(code_lines(EXAMPLE / "main.py"))
    assert total < 15


def test_it_trains_its_own_model_on_the_built_in_data(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            str(EXAMPLE / "main.py"),
            "model.size=14",
            "training.epochs=2",
            "pictures=false",
            "gpu=-1",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "AdaptiveAvgPool2d(output_size=14" in done.stdout
    accuracy = re.search(r"Best val_accuracy: (0\.\d+)", done.stdout)
    assert accuracy is not None
    assert float(accuracy[1]) > 0.7


def test_its_options_are_checked_like_all_others(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "main.py"), "model.sise=2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Did you mean 'model.size'?" in done.stderr
