"""`python -m runwright new`: the project that it makes is green at once."""

import subprocess
import sys
import sysconfig
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from programs import run_python
from runwright.__main__ import main


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labs") / "my-lab"
    assert main(["new", str(folder)]) == 0
    return folder


def run(project: Path, *command: str) -> CompletedProcess[str]:
    done = run_python(*command, cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_its_tests_pass(project: Path) -> None:
    run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider")


def test_it_trains_sweeps_and_is_measured(project: Path) -> None:
    options = ("pictures=false", "training.epochs=2", "then=[test]", "model.num_hidden=1,2")
    said = run(project, "main.py", "--multirun", "+experiment=wide", *options).stdout
    assert "test_accuracy 0." in said
    assert "Best: val_accuracy 0." in said


@pytest.mark.slow
def test_it_passes_the_check_of_its_factories(project: Path) -> None:
    assert "No faults" in run(project, "-m", "runwright", "check").stdout


def test_its_code_is_linted_and_formatted_and_has_its_name(project: Path) -> None:
    ruff = Path(sysconfig.get_path("scripts"), "ruff")
    for command in (["check"], ["format", "--check"]):
        subprocess.run([ruff, *command, "."], cwd=project, check=True)
    files = [file for file in project.rglob("*") if file.suffix in (".py", ".md", ".toml")]
    assert len(files) == 8
    assert not any("project_name" in file.read_text() for file in files)
    assert (project / "my_lab" / "model.py").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torch", "'torch' is the name of a package that exists"),
        ("tests", "'tests' is the name of a package that exists"),
        ("3d", "'3d' cannot be the name of a Python package."),
        ("class", "'class' cannot be the name of a Python package."),
        ("full", "full exists and is not empty. Choose a new folder."),
        ("file", "file exists and is not empty."),
    ],
)
def test_a_name_or_folder_that_cannot_be_is_refused(
    name: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    assert main(["new", name]) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_written_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "/proc/my_lab"]) == 2
    assert "/proc/my_lab: No such file or directory." in capsys.readouterr().err


def test_the_template_has_no_leftovers() -> None:
    """The command copies every file of it."""
    folder = Path(sys.modules["runwright.tools.new"].__file__ or "").with_name("template")
    assert {file.suffix for file in folder.rglob("*") if file.is_file()} == {
        *("", ".md", ".py", ".toml", ".yaml")
    }
