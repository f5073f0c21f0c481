"""What is said of a member of a group that nothing which was imported has registered."""

from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import REPOSITORY
from runwright import ConfigError, compose, load
from runwright.rundir.record import config_yaml

RECORD = config_yaml(compose(["model=cnn"], conf=REPOSITORY / "conf"), Path("run"))
HOW = (
    ' If a module of your own registers it, import that first: `main(factories=["MODULE"])` in '
    "main.py, `import MODULE` in Python, --import MODULE for `python -m runwright`."
)


def of_stage(run_dir: Path) -> object:
    return compose(["stage=test", f"checkpoint.load={run_dir}"])


def of_resumed(run_dir: Path) -> object:
    return compose(conf=run_dir)


@pytest.mark.parametrize("door", [load, of_stage, of_resumed])
@pytest.mark.parametrize(
    ("entry", "other", "said"),
    [
        ("dm: cmnist", "dm: cells", "there is no such dm. Allowed: "),
        ("model: cnn", "model: cnnn", "there is no such model. Did you mean 'cnn'? Allowed: "),
        ("override opt: torch", "override opt: tortch", "no such opt. Did you mean 'torch'? "),
        ("override machine: local", "override machine: far", "there is no such machine. Allowed: "),
        (
            "override objective: classification",
            "override objective: ranking",
            "there is no such objective. Allowed: ",
        ),
        ("_self_", "model/head@model.head: mine", "there is no group 'model/head'. Did you mean"),
    ],
)
def test_a_record_is_named_with_its_entry_and_what_to_import(
    door: Callable[[Path], object], entry: str, other: str, said: str, tmp_path: Path
) -> None:
    record = tmp_path / "run" / "config.yaml"
    record.parent.mkdir()
    (record.parent / "environment.json").write_text("{}")
    assert f"- {entry}\n" in RECORD
    record.write_text(RECORD.replace(f"- {entry}\n", f"- {other}\n"))
    with pytest.raises(ConfigError) as error:
        door(record.parent)
    (problem,) = error.value.problems
    assert problem.startswith(f"{record}: `{other}`: there is no ")
    assert said in problem
    assert problem.endswith(HOW)


def test_a_file_of_ones_own_is_named_too(tmp_path: Path) -> None:
    experiment = tmp_path / "experiment" / "mine.yaml"
    experiment.parent.mkdir()
    (tmp_path / "config.yaml").write_text("defaults: [config_schema, dm: cmnist, model: cnn]\n")
    experiment.write_text("# @package _global_\ndefaults: [override /opt: muon]\n")
    with pytest.raises(ConfigError) as error:
        compose(["+experiment=mine"], conf=tmp_path)
    (problem,) = error.value.problems
    assert problem.startswith(
        f"{experiment}: `override /opt: muon`: there is no such opt. Allowed: "
    )
    assert problem.endswith(HOW)


def test_a_choice_that_is_like_no_other_says_what_may_be_missing() -> None:
    with pytest.raises(ConfigError) as error:
        compose(["model=scbert", "dm=cmnist"])
    assert "model=scbert: there is no such model. Allowed: cnn, " in str(error.value)
    assert str(error.value).endswith(HOW)
