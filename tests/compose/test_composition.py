"""What composing makes of overrides and files."""

import os
from pathlib import Path
from typing import Any

import pytest

from compose.conftest import CMNIST, mistakes
from runwright import Config, UserError, compose
from runwright.domains.vision.activation import Activation
from runwright.domains.vision.choices import (
    FcnFactory,
    SimpleCNNFactory,
)


def test_it_makes_frozen_objects_of_the_chosen_classes() -> None:
    config = compose([*CMNIST, "model.activation=SELU", "seed=7"])
    assert isinstance(config, Config)
    assert config.model == FcnFactory(activation=Activation.SELU)
    assert config.seed == 7


def test_the_project_folder_is_found_from_below_it(conf: Path) -> None:
    (conf / "config.yaml").write_text(
        "defaults:\n  - config_schema\n  - dm: cmnist\n  - model: cnn\n  - _self_\nseed: 3\n"
    )
    below = conf.parent / "notebooks" / "today"
    below.mkdir(parents=True)
    os.chdir(below)
    assert compose().model == SimpleCNNFactory()
    assert compose().seed == 3


def test_without_a_folder_the_data_and_the_model_must_be_chosen() -> None:
    problems = mistakes()
    assert len(problems) == 2
    assert problems[0].startswith("dm must be chosen (the data): dm=celeba|cifar10|")
    assert problems[1].startswith("model must be chosen (the model): model=cnn|")
    assert "There is no conf/config.yaml here or in a folder above" in problems[1]
    assert "There is no conf/" not in mistakes(*CMNIST, "opt.lr=-1")[0]
    assert "There is no conf/other.yaml" in mistakes(*CMNIST, config_name="other")[0]


def test_one_text_is_no_list_of_overrides() -> None:
    with pytest.raises(UserError, match=r"not one string: compose\(\['model=cnn', 'seed=1'\]\)"):
        compose("model=cnn seed=1")


@pytest.mark.parametrize("override", ["hydra.run.dir=here", "hydra/launcher=joblib", "~hydra"])
def test_options_of_hydra_are_refused(override: str) -> None:
    with pytest.raises(UserError, match="Hydra's own options have no effect here"):
        compose([*CMNIST, override])


@pytest.mark.parametrize("overrides", [[("opt.lr", 1)], [None], [b"seed=1"]])
def test_what_is_no_text_is_no_override(overrides: list[Any]) -> None:
    with pytest.raises(UserError, match="compose takes strings such as 'model=cnn', got "):
        compose(overrides)


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(UserError, match="there is no such folder"):
        compose(conf="nowhere")


def test_interpolations_between_options_are_resolved() -> None:
    config = compose([*CMNIST, "seed=5", "dm.split_seed=${seed}"])
    assert config.dm.split_seed == 5  # pyright: ignore[reportAttributeAccessIssue]  # cmnist has it


def test_a_key_of_a_dictionary_may_be_deleted() -> None:
    config = compose(
        [*CMNIST, "opt.optimizer_kwargs={betas: [0.8, 0.9]}", "~opt.optimizer_kwargs.betas"]
    )
    assert vars(config.opt)["optimizer_kwargs"] == {}


def test_dictionaries_take_any_key() -> None:
    config = compose([*CMNIST, "opt.optimizer_kwargs.betas=[0.8,0.9]", "dm.label_map={3:0,8:1}"])
    assert vars(config.opt)["optimizer_kwargs"] == {"betas": [0.8, 0.9]}
    assert config.dm.label_map == {3: 0, 8: 1}  # pyright: ignore[reportAttributeAccessIssue]


def test_the_objective_follows_from_the_data_unless_chosen() -> None:
    assert type(compose(CMNIST).objective).__name__ == "ClassificationFactory"
    smoothed = compose([*CMNIST, "objective.label_smoothing=0.1"])
    assert smoothed.objective.label_smoothing == 0.1  # pyright: ignore[reportAttributeAccessIssue]


def test_what_only_a_job_knows_is_left_to_the_job() -> None:
    (problem,) = mistakes(*CMNIST, "wandb.dir=${hydra:runtime.output_dir}/wandb")
    assert problem == "wandb.dir: only a running job knows this."
