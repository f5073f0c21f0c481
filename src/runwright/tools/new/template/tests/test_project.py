"""A run of the whole project, as small as it gets, and what each part promises."""

from pathlib import Path

import pytest
import torch
from runwright import ConfigError, compose

from project_name.data import PointDims
from project_name.model import MLPFactory

CONF = Path(__file__).parents[1] / "conf"


def test_a_run_learns_more_than_guessing(tmp_path: Path) -> None:
    config = compose(["training.epochs=10", "pictures=false"], conf=CONF)
    assert config.run(tmp_path) > 0.6


def test_every_experiment_composes() -> None:
    for file in (CONF / "experiment").glob("*.yaml"):
        compose([f"+experiment={file.stem}"], conf=CONF)


def test_the_model_gives_a_logit_for_each_class() -> None:
    model = MLPFactory(num_hidden=1).build(PointDims(features=2, num_classes=5))
    assert model(torch.zeros(3, 2)).shape == (3, 5)


def test_a_misspelt_option_never_trains() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'model\.hidden_dim'"):
        compose(["model.hiden_dim=3"], conf=CONF)
