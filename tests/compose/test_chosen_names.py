"""A member that a file made is told by the name of the file."""

import dataclasses
import json
import pickle
from pathlib import Path

import pytest

from runwright import ConfigError, compose
from runwright.config import Config, chosen_name


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A folder with a named network, a named data module and a machine with a key of its own."""
    folder = tmp_path / "conf"
    for group, text in (
        ("model/wide", "defaults: [fcn]\nhidden_dim: 64\n"),
        ("dm/digits", "defaults: [cmnist]\n"),
        ("machine/mine", "defaults: [local]\nscratch: /tmp\n"),
    ):
        file = folder / f"{group}.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    start = "defaults: [config_schema, {dm: digits}, {model: wide}, _self_]\n"
    (folder / "config.yaml").write_text(start)
    return folder


def test_a_member_has_the_name_of_its_file(conf: Path) -> None:
    config = compose([], conf=conf)
    assert isinstance(config, Config)
    assert (chosen_name(config.dm), chosen_name(config.model)) == ("digits", "wide")
    assert chosen_name(config.opt) == "torch"  # chosen by the name of the factory itself
    assert config.model == compose(["model=fcn", "model.hidden_dim=64"], conf=conf).model
    plain = compose(["model=fcn"], conf=conf)
    assert isinstance(plain, Config)
    assert chosen_name(plain.model) == "fcn"


def test_a_changed_member_is_told_by_the_factory(conf: Path) -> None:
    config = compose([], conf=conf)
    assert isinstance(config, Config)
    assert chosen_name(dataclasses.replace(config.model, hidden_dim=3)) == "fcn"


def test_other_processes_get_the_names(conf: Path) -> None:
    config = pickle.loads(pickle.dumps(compose(["machine=mine"], conf=conf)))
    assert chosen_name(config.model) == "wide"
    assert config.machine.scratch == "/tmp"


def test_mistakes_are_told_by_the_name(conf: Path) -> None:
    (conf / "dm" / "faces.yaml").write_text("defaults: [celeba]\n")
    (conf / "model" / "cells.yaml").write_text("defaults: [state_sm]\n")
    with pytest.raises(ConfigError, match="model=cells does not fit dm=faces"):
        compose(["dm=faces", "model=cells"], conf=conf)


def test_the_names_are_recorded(conf: Path, tmp_path: Path) -> None:
    compose(["training.max_steps=1", "gpu=-1", "pictures=false"], conf=conf).run(tmp_path / "r")
    record = json.loads((tmp_path / "r" / "environment.json").read_text())
    assert record["chosen"] == {"dm": "digits", "model": "wide"}
