"""A key that a dictionary is given twice is refused, where Hydra and YAML keep the last."""

from pathlib import Path

import pytest
from hydra.types import RunMode

from compose.conftest import CMNIST, mistakes
from runwright import ConfigError, compose
from runwright.compose import schema
from runwright.compose._hydra import search_path
from runwright.compose.loader import StrictConfigLoader
from runwright.config import Config


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("dm.label_map={3: 0, 3: 1, 4: 0}", "dm.label_map.3"),
        ("dm.label_map={3:0,4:1,+3:1}", "dm.label_map.3"),
        ("finetune.rename={a: b, a: c}", "finetune.rename.a"),
        ("opt={lr: 0.1, lr: 0.2}", "opt.lr"),
        ("dm={label_map: {3: 0, 3: 1}}", "dm.label_map.3"),
        (
            "opt.optimizer_kwargs={betas: [0.1, 0.2], betas: [0.3, 0.4]}",
            "opt.optimizer_kwargs.betas",
        ),
        ("+opt.optimizer_kwargs={eps: 1, eps: 1}", "opt.optimizer_kwargs.eps"),
    ],
)
def test_a_key_that_is_twice_on_the_command_line_is_named(override: str, key: str) -> None:
    said = f"{override}: {key} is given twice. Keep only one."
    assert mistakes(*CMNIST, override)[0] == said


def test_equal_keys_at_different_places_are_fine() -> None:
    config = compose([*CMNIST, "dm.label_map={3: 0, 4: 1, 0: 1, 1: 0}"])
    assert vars(config.dm)["label_map"] == {3: 0, 4: 1, 0: 1, 1: 0}


@pytest.mark.parametrize(
    "override",
    [
        "dm.label_map={3:0,3:1},{4:0}",
        "dm.label_map=choice({4:0,5:1},{3:0,3:1})",
        "hydra.sweeper.params={dm.label_map:'{3:0,3:1},{4:0}'}",
    ],
)
def test_a_key_that_is_twice_among_several_values_is_named(override: str) -> None:
    schema.store(Config)
    loader = StrictConfigLoader(search_path(None))
    with pytest.raises(ConfigError) as caught:
        loader.load_configuration("config", [*CMNIST, override], RunMode.MULTIRUN)
    said = override.replace("={dm.label_map:'", ".dm.label_map=").removesuffix("'}")
    key = said.partition("=")[0]
    assert f"{said}: {key}.3 is given twice. Keep only one." in caught.value.problems


@pytest.mark.parametrize(
    ("content", "line", "key"),
    [
        ("dm: {label_map: {3: 0, 3: 1, 4: 0}}\n", 2, "dm.label_map.3"),
        ("dm:\n  label_map:\n    3: 0\n    4: 0\n    3: 1\n", 6, "dm.label_map.3"),
        ("dm:\n  label_map:\n    11: 0\n    1_1: 1\n", 5, "dm.label_map.11"),
        ("seed: 3\nseed: 4\n", 3, "seed"),
        ("defaults: [override /model: cnn]\ndefaults: [override /model: fcn]\n", 3, "defaults"),
    ],
)
def test_a_key_that_is_twice_in_a_file_is_named(
    conf: Path, content: str, line: int, key: str
) -> None:
    file = conf / "experiment" / "mine.yaml"
    file.write_text(f"# @package _global_\n{content}")
    said = f"{file}, line {line}: {key} is given twice. Keep only one."
    assert mistakes("+experiment=mine", conf=str(conf))[0] == said


def test_a_key_that_is_twice_in_a_members_file_is_named_in_full(conf: Path) -> None:
    (conf / "dm").mkdir()
    file = conf / "dm" / "mine.yaml"
    file.write_text("defaults: [cmnist]\nlabel_map: {3: 0, 3: 1}\n")
    said = f"{file}, line 2: dm.label_map.3 is given twice. Keep only one."
    assert mistakes("dm=mine", "dm.label_map=null", conf=str(conf)) == (said,)
