"""What composing refuses, and what it says."""

import os
from pathlib import Path

import pytest

from runwright import Config, ConfigError, UserError, compose
from runwright.vision.factories import Activation, FcnFactory, SimpleCNNFactory

CMNIST = ["dm=cmnist", "model=fcn"]


def mistakes(*overrides: str, **options: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        compose(overrides, **options)  # pyright: ignore[reportArgumentType]  # conf and config_name
    return caught.value.problems


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A project's folder of YAML files, to which a test adds its own."""
    folder = tmp_path / "conf"
    (folder / "model").mkdir(parents=True)
    (folder / "experiment").mkdir()
    (folder / "config.yaml").write_text(
        "defaults:\n  - config_schema\n  - dm: cmnist\n  - model: fcn\n  - _self_\n"
    )
    return folder


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
    assert problems[0].startswith("dm must be chosen (the data): dm=celeba|cmnist")
    assert problems[1].startswith("model must be chosen (the model): model=cnn|fcn")


def test_a_key_of_another_model_is_refused_with_the_seeds_text() -> None:
    (problem,) = mistakes("dm=cmnist", "model=cnn", "model.hidden_dim=10")
    assert problem.startswith(
        "Could not override 'model.hidden_dim'.\n"
        "To append to your config use +model.hidden_dim=10\n"
        "Key 'hidden_dim' not in 'SimpleCNNFactory'\n"
        "    full_key: model.hidden_dim\n"
        "    reference_type=ModelFactory\n"
        "    object_type=SimpleCNNFactory"
    )


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("+model.hiden=3", "Did you mean 'model.num_hidden'?"),
        ("model.actvation=GELU", "Did you mean 'model.activation'?"),
        ("+experimnt=good_run", "Did you mean 'experiment'?"),
        ("++trainig.epochs=2", "Did you mean 'training'?"),
        ("+opt={learning_rate: 0.1}", "Key 'learning_rate' not in 'OptimisationCfg'"),
        ("model=cn", "Did you mean 'cnn'?"),
        ("+model=cn", "cn"),
        ("sed=3", "Did you mean 'seed'?"),
        ("model.activation=RELUU", "Did you mean 'RELU'?"),
        ("model.activation=gelu", "Did you mean 'GELU'?"),
        ("opt.schedule=cosin", "Did you mean 'cosine'?"),
        ("opt.lr=fast", "could not be converted to Float"),
        ("opt.lr=0", "opt.lr must be > 0, got 0"),
        ("gpu=-2", "gpu must be ≥ -1, got -2"),
        ("training.epochs=null", "training.epochs and training.max_steps cannot both be null"),
        ("opt.lr=${optt.lr}", "opt.lr: Interpolation key 'optt.lr' not found"),
        ("opt.lr=[1", "opt.lr=[1"),
        ("seed=1,2", "--multirun"),
    ],
)
def test_a_mistake_is_named(override: str, expected: str) -> None:
    (problem,) = mistakes(*CMNIST, override)
    assert expected in problem


def test_all_mistakes_are_reported_together() -> None:
    problems = mistakes(
        "dm=cmnist",
        "model=cnn",
        "model.kernel_size=0",
        "sed=3",
        "opt.lrr=1",
        "+foo.bar=2",
        "training.epochs=some",
        "dm.num_colors=11",
        "opt.warmup=2.5",
    )
    text = "\n".join(problems)
    assert len(problems) == 8
    for key in (
        "model.kernel_size must be ≥ 1, got 0",
        "Could not override 'sed'",
        "Could not override 'opt.lrr'",
        "foo is not an option",
        "training.epochs=some",
        "dm.num_colors must be ≥ 1, ≤ 10, got 11",
        "opt.warmup as a share must be ≤ 1, got 2.5",
    ):
        assert key in text


def test_a_wrong_choice_does_not_draw_wrong_conclusions() -> None:
    problems = mistakes("dm=cmnits", "model=cnn", "dm.colors=[1]", "model.kernel_size=0")
    assert len(problems) == 2
    assert "Did you mean 'cmnist'?" in problems[0]
    assert problems[1] == "model.kernel_size must be ≥ 1, got 0"


def test_mistakes_in_a_file_are_named_with_the_file_and_all_at_once(conf: Path) -> None:
    (conf / "model" / "wide.yaml").write_text(
        "defaults:\n  - fcn\nhiden_dim: 300\nnum_hidden: many\ndropout_prob: 2\n"
    )
    problems = mistakes("model=wide", conf=str(conf))
    text = "\n".join(problems)
    assert len(problems) == 3
    assert "In model/wide.yaml: model.hiden_dim is not an option" in text
    assert "Did you mean 'model.hidden_dim'?" in text
    assert "In model/wide.yaml: model.num_hidden: Value 'many'" in text
    assert "model.dropout_prob must be ≥ 0, < 1, got 2.0" in text


def test_a_typo_in_an_experiment_is_refused(conf: Path) -> None:
    (conf / "experiment" / "typo.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /model: cnn\ntrainig:\n  epochs: 3\n"
    )
    (problem,) = mistakes("+experiment=typo", conf=str(conf))
    assert "trainig is not an option" in problem
    assert "Did you mean 'training'?" in problem


def test_an_experiment_can_choose_what_does_not_exist_only_with_an_error(conf: Path) -> None:
    (conf / "experiment" / "typo.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /model: cnnn\n"
    )
    (problem,) = mistakes("+experiment=typo", conf=str(conf))
    assert "cnnn" in problem
    assert "cnn" in problem


def test_broken_yaml_is_the_users_mistake(conf: Path) -> None:
    (conf / "model" / "broken.yaml").write_text("defaults: [fcn\nnum_hidden: 1\n")
    (problem,) = mistakes("model=broken", conf=str(conf))
    assert "broken.yaml" in problem
    assert "line" in problem


def test_a_primary_configuration_without_the_schema_is_told_how_to_get_it(conf: Path) -> None:
    (conf / "config.yaml").write_text("defaults:\n  - dm: cmnist\n  - model: fcn\n")
    (problem,) = mistakes(conf=str(conf))
    assert "config_schema" in problem


def test_a_target_in_a_file_is_a_key_like_any_other(conf: Path) -> None:
    (conf / "model" / "evil.yaml").write_text("defaults:\n  - fcn\n_target_: os.system\n")
    (problem,) = mistakes("model=evil", conf=str(conf))
    assert "_target_ is not an option" in problem


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(UserError, match="there is no such folder"):
        compose(conf="nowhere")


def test_interpolations_between_options_are_resolved() -> None:
    config = compose([*CMNIST, "seed=5", "dm.split_seed=${seed}"])
    assert config.dm.split_seed == 5  # pyright: ignore[reportAttributeAccessIssue]  # cmnist has it


def test_dictionaries_take_any_key() -> None:
    config = compose([*CMNIST, "opt.optimizer_kwargs.betas=[0.8,0.9]", "dm.label_map={3:0,8:1}"])
    assert config.opt.optimizer_kwargs == {"betas": [0.8, 0.9]}
    assert config.dm.label_map == {3: 0, 8: 1}  # pyright: ignore[reportAttributeAccessIssue]


def test_the_objective_follows_from_the_data_unless_chosen() -> None:
    assert type(compose(CMNIST).objective).__name__ == "ClassificationFactory"
    smoothed = compose([*CMNIST, "objective.label_smoothing=0.1"])
    assert smoothed.objective.label_smoothing == 0.1  # pyright: ignore[reportAttributeAccessIssue]


def test_a_file_that_does_not_say_what_it_changes_is_told_so(conf: Path) -> None:
    (conf / "model" / "bare.yaml").write_text("kernel_size: 3\n")
    problems = mistakes("model=bare", conf=str(conf))
    assert any("Begin it with a defaults list that names one" in text for text in problems)


def test_a_file_with_the_name_of_what_it_starts_from_is_explained(conf: Path) -> None:
    (conf / "model" / "cnn.yaml").write_text("defaults:\n  - cnn\n")
    (problem,) = mistakes("model=cnn", conf=str(conf))
    assert "lead in a circle" in problem


def test_an_experiment_without_its_first_line_is_explained(conf: Path) -> None:
    (conf / "experiment" / "local.yaml").write_text("seed: 3\n")
    (problem,) = mistakes("+experiment=local", conf=str(conf))
    assert "# @package _global_" in problem


def test_an_unknown_name_in_a_defaults_list_gets_the_nearest(conf: Path) -> None:
    (conf / "model" / "wide.yaml").write_text("defaults:\n  - fnc\n")
    (problem,) = mistakes("model=wide", conf=str(conf))
    assert "Could not load 'model/fnc'" in problem
    assert "Did you mean 'fcn'?" in problem


def test_a_file_with_the_wrong_suffix_does_not_hide_the_mistake(conf: Path) -> None:
    (conf / "model" / "wide.yml").write_text("defaults:\n  - fcn\n")
    (problem,) = mistakes("model=wide", conf=str(conf))
    assert problem.startswith(str(conf / "model" / "wide.yml"))
    assert "Rename it to wide.yaml." in problem


def test_what_only_a_job_knows_is_left_to_the_job() -> None:
    (problem,) = mistakes(*CMNIST, "wandb.dir=${hydra:runtime.output_dir}/wandb")
    assert problem == "wandb.dir: only a running job knows this."
