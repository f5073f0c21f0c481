"""The example of a lab's own project: short, and run as shown."""

import re
import shlex
import shutil
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from conftest import REPOSITORY
from programs import run_python
from readme.pages import shown_files

EXAMPLE = REPOSITORY / "examples" / "own_project"


def code_lines(path: Path) -> list[str]:
    """Lines that are neither blank, nor comment, nor docstring, nor for the type checker alone."""
    text = re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL)
    text = text.replace("from typing import TYPE_CHECKING\n", "")
    text = re.sub(r"if TYPE_CHECKING:\n    .*\n", "", text)
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_a_factory_and_its_main_are_under_15_lines_of_code() -> None:
    total = len(code_lines(EXAMPLE / "models.py")) + len(code_lines(EXAMPLE / "main.py"))
    assert total < 15


def run(folder: Path, *command: str) -> CompletedProcess[str]:
    return run_python(*command, cwd=folder)


def test_the_files_that_are_shown_train_their_own_model_on_the_built_in_data(
    tmp_path: Path,
) -> None:
    for path, content in shown_files((REPOSITORY / "README.md").read_text()):
        if path.startswith("examples/own_project/"):
            file = tmp_path / path.removeprefix("examples/own_project/")
            file.parent.mkdir(exist_ok=True)
            file.write_text(content)
    options = ("model.size=14", "training.epochs=2", "pictures=false", "gpu=-1")
    done = run(tmp_path, "main.py", *options)
    assert done.returncode == 0, done.stderr
    assert "AdaptiveAvgPool2d(output_size=14" in done.stdout
    accuracy = re.search(r"Best val_accuracy: (0\.\d+)", done.stdout)
    assert accuracy is not None
    assert float(accuracy[1]) > 0.7
    # The command that makes it again is one of this program.
    table = run(tmp_path, "-m", "runwright", "results", "outputs").stdout
    (command,) = [line for line in table.splitlines() if line.startswith("  python ")]
    again = run(tmp_path, *shlex.split(command)[1:])
    assert again.returncode == 0, again.stderr
    assert f"Best val_accuracy: {accuracy[1]}" in again.stdout


def test_a_missing_folder_of_configurations_is_told_with_what_belongs_into_it(
    tmp_path: Path,
) -> None:
    for name in ("main.py", "models.py"):
        shutil.copy(EXAMPLE / name, tmp_path)

    done = run(tmp_path, "main.py")
    assert done.returncode == 2
    assert f"There is no folder {tmp_path / 'conf'}, where main.py looks" in done.stderr
    assert "or call app.main(None) in main.py" in done.stderr
    (yaml,) = re.findall(r"^defaults:\n(?:  .*\n)+", done.stderr, re.MULTILINE)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text(yaml)
    assert "dm must be chosen" in run(tmp_path, "main.py").stderr
    choices = ("dm=cmnist", "model=pooled_linear")
    assert run(tmp_path, "main.py", *choices, "--cfg", "job").returncode == 0


def test_its_options_are_checked_like_all_others(tmp_path: Path) -> None:
    done = run(tmp_path, str(EXAMPLE / "main.py"), "model.sise=2")
    assert done.returncode == 2
    assert "Did you mean 'model.size'?" in done.stderr


IN_ONE_FILE = '''\
from torch import nn

from runwright import ModelFactory, app, factory, option
from runwright.domains.vision.dims import ImageDims


@factory("one_layer")
class OneLayer(ModelFactory[ImageDims]):
    """A linear layer."""

    bias: bool = option(default=True, doc="whether it has a bias")

    def build(self, dims: ImageDims) -> nn.Module:
        pixels = dims.channels * dims.height * dims.width
        return nn.Sequential(nn.Flatten(), nn.Linear(pixels, dims.num_classes, bias=self.bias))


if __name__ == "__main__":
    app.main(conf=None, config_name="config_schema")
'''


@pytest.mark.slow
@pytest.mark.parametrize(
    ("python", "launcher"), [((), "submitit_local"), (("-m", "cProfile"), "basic")]
)
def test_a_factory_in_the_script_itself_is_found_whoever_runs_it(
    tmp_path: Path, python: tuple[str, ...], launcher: str
) -> None:
    (tmp_path / "main.py").write_text(IN_ONE_FILE)
    options = ("+dm=cmnist", "+model=one_layer", "model.bias=true", "gpu=-1")
    short = ("pictures=false", "training.max_steps=3", "hydra.sweep.dir=sweep")
    done = run(tmp_path, *python, "main.py", "-m", *options, *short, f"hydra/launcher={launcher}")
    assert done.returncode == 0, done.stderr
    assert "- model: one_layer" in (tmp_path / "sweep" / "0" / "config.yaml").read_text()
