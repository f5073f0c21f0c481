"""A domain in a package of its own: installed, chosen, asked for its commands, and in the way."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import REPOSITORY
from programs import run_python

pytestmark = pytest.mark.slow

MAIN = "from runwright import app\n\napp.main(None)\n"
TRAINED = ("gpu=-1", "pictures=false", "training.max_steps=2")
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "lab-sets"
version = "1.0"
[project.entry-points."runwright.domains"]
sets = "lab_sets"
[tool.hatch.build.targets.wheel]
packages = ["lab_sets"]
"""
EXPERIMENT = """\
# @package _global_
defaults:
  - override /dm: wide_sets
  - override /model: set_encoder
"""
COMMANDS = """\
import runwright as rw


@rw.command("simulate sets")
class SimulateSets(rw.Command):
    '''Write sets of numbers.'''

    def add_arguments(self, parser):
        parser.add_argument("--number", type=int, default=1, help="how many sets")

    def run(self, args):
        if args.number < 1:
            raise rw.UserError(f"--number must be ≥ 1, got {args.number}.")
        print("sets:", args.number)


@rw.command("renew")
class Renew(rw.Command):
    '''Bring old files up to date.'''

    def add_arguments(self, parser):
        parser.add_argument("name", metavar="NAME", help="the file")

    def run(self, args):
        print("renewed", args.name)
"""


def build_wheel(project: Path, into: Path) -> Path:
    """A wheel of a project, made without the network."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)]
    subprocess.run(command, cwd=project, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = into.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    flags = ("--quiet", "--no-deps", "--no-index", "--no-compile", "--target", str(folder))
    subprocess.run([sys.executable, "-m", "pip", "install", *flags, str(wheel)], check=True)
    return folder


def write_package(folder: Path) -> Path:
    package = folder / "lab_sets"
    (package / "conf" / "experiment" / "sets").mkdir(parents=True)
    (package / "conf" / "dm").mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    (package / "__init__.py").touch()
    shutil.copy(REPOSITORY / "tests" / "toy_domain.py", package / "sets.py")
    (package / "choices.py").write_text("from lab_sets import sets as sets\n")
    (package / "commands.py").write_text(COMMANDS)
    (package / "conf" / "dm" / "wide_sets.yaml").write_text(
        "defaults:\n  - toy_sets\n\nfeatures: 7\n"
    )
    (package / "conf" / "experiment" / "sets" / "first.yaml").write_text(EXPERIMENT)
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the package is installed in; not to be written to."""
    project = write_package(tmp_path_factory.mktemp("project"))
    wheel = build_wheel(project, tmp_path_factory.mktemp("wheels"))
    return install(wheel, tmp_path_factory.mktemp("installed"))


@pytest.fixture
def changed(installed: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return shutil.copytree(installed, tmp_path / "installed")


def python(*arguments: str, on_path: Path) -> subprocess.CompletedProcess[str]:
    Path("main.py").write_text(MAIN)
    return run_python(*arguments, env={"PYTHONPATH": f"{on_path}{os.pathsep}{REPOSITORY / 'src'}"})


def test_its_experiment_trains_its_model_on_its_data(installed: Path) -> None:
    options = ("hydra.run.dir=run", *TRAINED)
    done = python("main.py", "+experiment=sets/first", *options, on_path=installed)
    assert done.returncode == 0, done.stderr
    record = Path("run/config.yaml").read_text()
    assert "- dm: toy_sets" in record
    assert "features: 7" in record
    again = python("main.py", "--config-dir", "run", "--config-name", "config", on_path=installed)
    assert again.returncode == 0, again.stderr


def test_what_it_can_is_listed_and_its_commands_run(installed: Path) -> None:
    said = python("main.py", "dm=wide_sets", "model=set_encoder", "--help", on_path=installed)
    group = said.stdout.partition("\ndm:\n")[2].partition("\n\n")[0]
    members = [line.split()[0] for line in group.splitlines()]
    assert [name for name in members if name in ("celeba", "cmnist", "toy_sets", "wide_sets")] == [
        *("celeba", "cmnist", "toy_sets", "wide_sets")
    ]
    assert "experiment/sets:\n  first" in said.stdout
    usage = python("-m", "runwright", "--help", on_path=installed).stdout
    assert re.search(r"^  simulate sets +Write sets of numbers\.$", usage, re.MULTILINE)
    run = python("-m", "runwright", "simulate", "sets", "--number=3", on_path=installed)
    assert run.stdout == "sets: 3\n"
    named = python("-m", "runwright", "renew", "old.yaml", on_path=installed)
    assert named.stdout == "renewed old.yaml\n"


def test_a_mistake_in_a_command_of_its_is_a_sentence(installed: Path) -> None:
    wrong = python("-m", "runwright", "simulate", "sets", "--number=0", on_path=installed)
    assert (wrong.returncode, wrong.stderr) == (2, "--number must be ≥ 1, got 0.\n")
    typo = python("-m", "runwright", "simulate", "stes", on_path=installed)
    assert typo.returncode == 2
    assert "There is no command 'simulate stes'. Did you mean 'simulate sets'?" in typo.stderr
    assert "simulate celeba" in typo.stderr


def test_without_a_package_that_it_needs_everything_else_works(changed: Path) -> None:
    (changed / "lab_sets" / "choices.py").write_text("import h5_of_sets\n")
    reason = "is not loaded: No module named 'h5_of_sets'."
    done = python("main.py", "dm=cmnist", "model=fcn", "--cfg", "job", on_path=changed)
    assert (done.returncode, done.stderr) == (0, "")
    chosen = python("main.py", "dm=toy_sets", "model=fcn", on_path=changed)
    assert chosen.returncode == 2
    assert "dm=toy_sets: there is no such dm." in chosen.stderr
    assert f"The domain 'sets' (of lab-sets 1.0 in {changed}) {reason}" in chosen.stderr
    check = python("-m", "runwright", "check", on_path=changed)
    assert check.returncode == 0, check.stderr
    assert reason in " ".join(check.stdout.split())


def test_one_that_fails_halfway_is_not_there_and_keeps_no_other_from_working(changed: Path) -> None:
    (changed / "lab_sets" / "choices.py").write_text(
        "from lab_sets import sets\n\nraise OSError('libcudart.so.12 is missing')\n"
    )
    done = python("main.py", "dm=cmnist", "model=fcn", "--cfg", "job", on_path=changed)
    assert (done.returncode, done.stderr) == (0, "")
    chosen = python("main.py", "dm=toy_sets", "model=set_encoder", on_path=changed)
    assert chosen.returncode == 2
    assert "dm=toy_sets: there is no such dm." in chosen.stderr
    assert "is not loaded: OSError: libcudart.so.12 is missing." in chosen.stderr


def test_a_factory_of_a_name_that_is_taken_is_refused_with_both_places(changed: Path) -> None:
    sets = changed / "lab_sets" / "sets.py"
    sets.write_text(sets.read_text().replace('@factory("set_encoder")', '@factory("cnn")'))
    done = python("main.py", on_path=changed)
    assert done.returncode == 2
    assert "'model=cnn' would name two factories" in done.stderr
    assert "runwright.domains.vision.cnn.SimpleCNNFactory, " in done.stderr
    assert f"lab_sets.sets.SetEncoder, {sets}:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_of_a_name_that_is_taken_is_refused_with_both_places(changed: Path) -> None:
    file = changed / "lab_sets" / "conf" / "dm" / "wide_sets.yaml"
    file.rename(file.with_name("cmnist.yaml"))
    done = python("main.py", on_path=changed)
    assert done.returncode == 2
    assert "'dm=cmnist' would name two things:\n" in done.stderr
    assert "runwright.domains.vision.cmnist, " in done.stderr
    assert f"{file.with_name('cmnist.yaml')}\nRename one of them." in done.stderr
    experiment = changed / "lab_sets" / "conf" / "experiment" / "cmnist"
    experiment.mkdir()
    file.with_name("cmnist.yaml").rename(experiment / "cnn.yaml")
    done = python("main.py", on_path=changed)
    assert "'experiment/cmnist=cnn' would name two things:\n" in done.stderr
    assert done.stderr.count("cnn.yaml") == 2


def test_a_file_outside_any_group_is_refused(changed: Path) -> None:
    (changed / "lab_sets" / "conf" / "config.yaml").write_text("defaults: [config_schema]\n")
    done = python("main.py", on_path=changed)
    assert done.returncode == 2
    assert "config.yaml: the YAML files of a domain are members of groups." in done.stderr


def test_a_domain_of_a_name_that_is_taken_is_refused_with_both_places(changed: Path) -> None:
    (points,) = changed.glob("*.dist-info/entry_points.txt")
    points.write_text(points.read_text().replace("sets =", "vision ="))
    done = python("main.py", on_path=changed)
    assert done.returncode == 2
    assert "Two domains are called 'vision':\n  runwright.domains.vision, /" in done.stderr
    assert f"  lab_sets, of lab-sets 1.0 in {changed}\n" in done.stderr


def test_a_command_of_a_name_that_is_taken_is_refused_with_both_places(changed: Path) -> None:
    commands = changed / "lab_sets" / "commands.py"
    text = commands.read_text()
    for name in ("simulate celeba", "simulate", "check"):
        commands.write_text(text.replace('"simulate sets"', f'"{name}"'))
        done = python("-m", "runwright", "--help", on_path=changed)
        assert done.returncode == 2
        assert "would be two commands" in done.stderr
        assert f"lab_sets.commands.SimulateSets, {commands}" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_files_of_the_domains_travel_in_the_wheel(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    folder = install(build_wheel(REPOSITORY, tmp_path / "wheels"), tmp_path / "installed")
    Path("main.py").write_text(MAIN)
    program = ("main.py", "+experiment=cmnist/cnn", "dm=cmnist", "model=cnn")
    done = run_python(*program, "--cfg", "job", env={"PYTHONPATH": str(folder)})
    assert done.returncode == 0, done.stderr
    assert "lr: 0.002" in done.stdout
    where = run_python(*program, "--info", "searchpath", env={"PYTHONPATH": str(folder)})
    assert f"file://{folder}/runwright/domains/vision/conf" in where.stdout
