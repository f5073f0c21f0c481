"""A project's own factories are found as its `main.py` names them, and nothing of it is run."""

import json
import shutil
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from conftest import REPOSITORY
from programs import run_python
from runwright.tools import entry_point

TOY = '''\
from __future__ import annotations
from pathlib import Path
from runwright import Dims, ModelFactory, factory, option

@factory("toy")
class Toy(ModelFactory[Dims]):
    """A toy."""
    file: Path | None = option(default=None, doc="a file")
    def build(self, dims: Dims) -> object: ...
'''
CONF = "defaults: [config_schema, {dm: cmnist}, {model: toy}, _self_]\n"


def project(folder: Path, main: str, **files: str) -> Path:
    (folder / "conf").mkdir()
    (folder / "conf" / "config.yaml").write_text(CONF)
    (folder / "main.py").write_text(main)
    for name, content in files.items():
        (folder / f"{name}.py").write_text(content)
    return folder


def schema(folder: Path, *arguments: str) -> CompletedProcess[str]:
    return run_python("-m", "runwright", "schema", *arguments, cwd=folder)


def models(folder: Path) -> set[str]:
    """The factories of models that the schemas in a folder know."""
    content = json.loads(
        (folder / ".vscode" / "schemas" / "runwright" / "experiment.json").read_text()
    )
    choices = content["properties"]["defaults"]["items"]["anyOf"][1]["properties"]
    return set(choices["override /model"]["anyOf"][0]["enum"])


MAINS = {
    "passed to app.main": "from runwright import app\napp.main(factories=['toy'])\n",
    "imported": "import toy\nfrom runwright.app import main\nmain()\n",
    "imported by what runs on its own only": (
        "import runwright.app\n"
        "def start():\n    import toy\n    runwright.app.main(conf='conf')\n"
        "if __name__ == '__main__':\n    start()\n"
    ),
    "in the script itself": f"{TOY}\nfrom runwright import app as door\ndoor.main()\n",
}


@pytest.mark.parametrize("main", MAINS.values(), ids=MAINS.keys())
def test_factories_are_found_however_main_brings_them(tmp_path: Path, main: str) -> None:
    done = schema(project(tmp_path, main, toy=TOY))
    assert done.returncode == 0, done.stderr
    assert "Factories besides runwright's own: model=toy." in done.stdout
    assert {"toy", "cnn"} <= models(tmp_path)


def test_the_example_is_checked_with_its_own_factory(tmp_path: Path) -> None:
    folder = shutil.copytree(REPOSITORY / "examples" / "own_project", tmp_path / "own")
    (tmp_path / "own" / "conf" / "sub").mkdir()
    done = run_python("-m", "runwright", "check", "dm=cmnist", cwd=folder / "conf" / "sub")
    assert done.returncode == 0, done.stderr
    assert "Factories besides runwright's own: model=pooled_linear." in done.stdout
    assert "pooled_linear  cmnist" in done.stdout


def test_main_runs_once_and_no_further_than_its_call(tmp_path: Path) -> None:
    main = (
        "import sys\nfrom runwright import app\n"
        "print('before', sys.argv)\n"
        "try:\n    app.main()\nexcept Exception:\n    print('caught')\n"
        "print('after')\n"
    )
    done = schema(project(tmp_path, main))
    assert done.stdout.count("before") == 1
    assert f"before ['{tmp_path / 'main.py'}']" in done.stdout
    assert "caught" not in done.stdout
    assert "after" not in done.stdout
    assert not (tmp_path / "__pycache__").exists()
    assert "main.py names no factories besides runwright's own." in done.stdout


TRAINING = "from runwright import compose\nprint('trains')\n"


def test_a_main_that_does_not_call_app_main_is_left_alone_unless_it_is_named(
    tmp_path: Path,
) -> None:
    project(tmp_path, TRAINING)
    done = schema(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "trains" not in done.stdout
    assert "main.py was not run, as it does not call runwright's app.main" in done.stdout
    assert "--import MODULE" in done.stdout
    (tmp_path / "train.py").write_text("from entry import start\nstart()\n")
    (tmp_path / "entry.py").write_text(MAINS["imported by what runs on its own only"])
    (tmp_path / "toy.py").write_text(TOY)
    assert schema(tmp_path, "--main", "train.py").returncode == 0
    assert "toy" in models(tmp_path)


def test_where_there_is_no_main_the_command_says_where_it_looked(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    project(inner, "")
    (tmp_path / "main.py").write_text("raise AssertionError('another project')")
    (inner / "main.py").unlink()
    done = schema(inner)
    assert done.returncode == 0, done.stderr
    assert f"There is no main.py in {inner}, nor above it in the same project" in done.stdout


def test_the_folder_the_name_and_the_class_are_those_of_main(tmp_path: Path) -> None:
    main = (
        "from runwright import Config, app, option, settings\n"
        "@settings\nclass OurConfig(Config):\n    '''Ours.'''\n"
        "    note: str = option(default='', doc='a note')\n"
        "app.main('settings/ours', config_name='base', config=OurConfig)\n"
    )
    (tmp_path / "main.py").write_text(main)
    done = schema(tmp_path)
    assert done.returncode == 2
    assert "main.py calls app.main('settings/ours'): there is no folder" in done.stderr
    (tmp_path / "settings" / "ours").mkdir(parents=True)
    (tmp_path / "settings" / "ours" / "base.yaml").write_text(CONF)
    assert schema(tmp_path).returncode == 0
    folder = tmp_path / ".vscode"
    assert "note" in (folder / "schemas" / "runwright" / "config.json").read_text()
    assert '"settings/ours/base.yaml"' in (folder / "settings.json").read_text()


@pytest.mark.parametrize(
    ("main", "said"),
    [
        ("from runwright import app\nif False:\n    app.main()\n", "ended without a call of run"),
        ("from runwright import app\nexit('no')\napp.main()\n", "before its call of app.main: no"),
        ("from runwright import app\napp.main(\n", "main.py, line 2: '(' was never closed."),
        ("from runwright import app\napp.main(factories=['tyo'])\n", "There is no module 'tyo'"),
    ],
)
def test_a_main_that_comes_to_no_call_is_told(tmp_path: Path, main: str, said: str) -> None:
    done = schema(project(tmp_path, main))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bug_in_main_keeps_its_traceback_and_says_who_ran_it(tmp_path: Path) -> None:
    done = schema(project(tmp_path, "from runwright import app\nasd\napp.main()\n"))
    assert f'File "{tmp_path / "main.py"}", line 2' in done.stderr
    assert "which was asked for its factories" in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "import main\nmain.main()",
        "def main(): ...\nmain()",
        "import app\napp.main()",
        "from runwright import compose\ncompose().run()",
        "from runwright import app",
    ],
)
def test_what_is_no_call_of_app_main_is_not_taken_for_one(tmp_path: Path, text: str) -> None:
    script = tmp_path / "main.py"
    script.write_text(text)
    assert not entry_point.calls_app_main(script)
