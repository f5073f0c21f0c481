"""A YAML file that holds no options is named, with what is expected of it."""

from pathlib import Path

import pytest

from conftest import SMALL
from programs import run_python
from runwright import ConfigError, compose

CHOSEN = "A member is chosen in the defaults list:"
USUAL = "defaults: [config_schema, {dm: cmnist}, {model: cnn}, _self_]\n"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    folder = tmp_path / "conf"
    for group in ("model", "experiment"):
        (folder / group).mkdir(parents=True)
    (folder / "config.yaml").write_text(USUAL)
    return folder


def problem(conf: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose([*overrides], conf=str(conf))
    (found,) = caught.value.problems
    return found


@pytest.mark.parametrize(
    ("content", "shown"),
    [("3", "3"), ("true", "true"), ("text", "text"), ("[1, 2]", "a list"), ("- a", "a list")],
)
def test_a_file_that_holds_no_options_is_named(conf: Path, content: str, shown: str) -> None:
    for name, chosen in {
        "model/mine": ["model=mine"],
        "experiment/mine": ["+experiment=mine"],
        "config": [],
    }.items():
        file = conf / f"{name}.yaml"
        header = "# @package _global_\n" if name.startswith("experiment") else ""
        file.write_text(f"{header}{content}\n")
        said = problem(conf, *chosen)
        assert said == f"{file}: the file must contain options, `name: value`, got {shown}."
        file.unlink()
        if name != "config":
            assert compose(conf=str(conf)).seed == 42


def test_a_member_of_a_group_needs_more_than_null(conf: Path) -> None:
    file = conf / "model" / "mine.yaml"
    file.write_text("null\n")
    assert (
        problem(conf, "model=mine")
        == f"{file}: the file must contain options, `name: value`, got null."
    )


@pytest.mark.parametrize(
    ("line", "shown"), [("3", "3"), ("null", "null"), ("", "null"), ("[1]", "a list")]
)
def test_what_is_no_part_of_hydras_is_named(conf: Path, line: str, shown: str) -> None:
    (conf / "config.yaml").write_text(f"{USUAL}hydra: {line}\n")
    script = conf.parent / "main.py"
    script.write_text("from runwright import app\napp.main()\n")
    for flags in ((), ("--multirun",), ("--help",), ("--cfg", "job")):
        done = run_python(script, *flags, *SMALL[:1])
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f"{conf}/config.yaml, line 2: `hydra` must contain Hydra's options, e.g. "
            f"`hydra: {{job: {{name: mine}}}}`, got {shown}. Without any, leave it out.\n"
        )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training: 3", "training holds options, `training: {epochs: …}`, got 3."),
        ("training: null", "training holds options, `training: {epochs: …}`, got null."),
        (
            "opt: [1]",
            f"opt holds options, `opt: {{lr: …}}`, got [1]. {CHOSEN} `- override /opt: NAME`.",
        ),
        ("dm: 3", f"dm holds options, `dm: {{root: …}}`, got 3. {CHOSEN} `- override /dm: NAME`."),
    ],
)
def test_a_value_in_place_of_options_is_named(conf: Path, text: str, expected: str) -> None:
    (conf / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{text}\n")
    assert problem(conf, "+experiment=mine") == f"In experiment/mine.yaml: {expected}"
    (conf / "config.yaml").write_text(f"{USUAL}{text}\n")
    assert problem(conf) == f"In config.yaml: {expected}"


def test_a_primary_configuration_that_is_no_yaml_ends_in_a_sentence(conf: Path) -> None:
    (conf / "config.yaml").write_text("{a\n")
    script = conf.parent / "main.py"
    script.write_text("from runwright import app\napp.main()\n")
    done = run_python(script)
    assert done.returncode == 2
    assert f'in "{conf}/config.yaml", line' in done.stderr
    assert "Traceback" not in done.stderr
