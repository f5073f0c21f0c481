"""What composing refuses, and what it says."""

import os
from pathlib import Path
from typing import Any

import pytest

from runwright import Config, ConfigError, UserError, compose
from runwright.domains.vision.activation import Activation
from runwright.domains.vision.choices import (
    CelebADataModule,
    ColoredMNISTDataModule,
    FcnFactory,
    SimpleCNNFactory,
)
from runwright.plain import plain_values

CMNIST = ["dm=cmnist", "model=fcn"]


def mistakes(*overrides: str, **options: str) -> tuple[str, ...]:
    chosen = {one.lstrip("+~").partition("=")[0] for one in overrides if one not in CMNIST}
    kept = [one for one in overrides if one not in CMNIST or one.partition("=")[0] not in chosen]
    with pytest.raises(ConfigError) as caught:
        compose(kept, **options)  # pyright: ignore[reportArgumentType]  # conf and config_name
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


def test_a_key_of_another_model_is_refused_with_the_seeds_text() -> None:
    (problem,) = mistakes("dm=cmnist", "model=cnn", "model.hidden_dim=10")
    assert problem == (
        "Could not override 'model.hidden_dim'.\n"
        "To append to your config use +model.hidden_dim=10\n"
        "Key 'hidden_dim' not in 'SimpleCNNFactory'\n"
        "    full_key: model.hidden_dim\n"
        "    reference_type=ModelFactory\n"
        "    object_type=SimpleCNNFactory\n"
        "SimpleCNNFactory has: kernel_size, pool_stride, activation."
    )


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("+model.hiden=3", "Did you mean 'model.num_hidden'?"),
        ("model.actvation=GELU", "Did you mean 'model.activation'?"),
        ("+experimnt=good_run", "Did you mean 'experiment'?"),
        ("++trainig.epochs=2", "Did you mean 'training'?"),
        ("+opt={learning_rate: 0.1}", "opt.learning_rate is not an option: TorchOptimizer"),
        ("model=cn", "Did you mean 'cnn'?"),
        ("+model=cn", "cn"),
        ("sed=3", "Did you mean 'seed'?"),
        ("model.activation=RELUU", "Did you mean 'RELU'?"),
        ("model.activation=gelu", "Did you mean 'GELU'?"),
        ("opt.schedule=cosin", "Did you mean 'cosine'?"),
        ("opt.lr=fast", "could not be converted to Float"),
        ("opt.lr=0", "opt.lr must be > 0, got 0"),
        (f"seed={2**64}", f"seed must be ≥ 0, ≤ {2**64 - 1}, got {2**64}"),
        ("seed=1" + 400 * "0", "seed must be ≥ 0, ≤ "),
        (f"model.hidden_dim={2**63}", f"model.hidden_dim must be a 64-bit number, got {2**63}"),
        ("opt.lr=inf", "opt.lr must be a finite number > 0, got inf"),
        ("gpu=-2", "gpu must be ≥ -1, got -2"),
        ("opt.lr=${optt.lr}", "opt.lr: Interpolation key 'optt.lr' not found"),
        ("~opt.lr", "~opt.lr: an option cannot be deleted. Give it a value, opt.lr=…, or leave"),
        (
            "~wandb.name",
            "~wandb.name: an option cannot be deleted. Give it a value, wandb.name=… (o",
        ),
        ("~seed", "~seed: an option cannot be deleted. Give it a value, seed=…, or leave this out"),
        ("~opt", "~opt: one must be chosen. Leave this out, or choose another: opt="),
        ("~training", "~training: an option cannot be deleted. Leave this out, and set the opti"),
        ("opt=tortch", "opt=tortch: there is no such opt. Did you mean 'torch'?"),
        ("~model", "~model: one must be chosen. Leave this out, or choose another: model=cnn|"),
        ("~opt.lrr", "Did you mean 'opt.lr'?"),
        ("+opt={foo: 3}", "TorchOptimizer has no 'foo'. It has: lr, weight_decay"),
        ("opt.lr=[1", "opt.lr=[1"),
        (
            "seed=1,2",
            "several values. compose makes one configuration; call it once for each of them",
        ),
        ("seed=choice(1,2)", "seed=choice(1,2): these are several values. compose makes one"),
        ("hydration=3", "hydration is not an option: Config has no 'hydration'. It has: dm"),
    ],
)
def test_a_mistake_is_named(override: str, expected: str) -> None:
    (problem,) = mistakes(*CMNIST, override)
    assert expected in problem


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.actvation=GELU", "Did you mean 'model.activation'? FcnFactory has: num_hidden"),
        ("model.hidden_di=3", "Did you mean 'model.hidden_dim'? FcnFactory has: num_hidden"),
        ("trainig.epochs=2", "Did you mean 'training'? It has: dm, model"),
        ("dm.labelmap.a=3", "Did you mean 'dm.label_map'? ColoredMNISTDataModule has: root"),
        ("opt={lr: 3, lrr: 3}", "Did you mean 'opt.lr'? It has: lr, weight_decay"),
        ("model[hiden]=3", "Did you mean 'model.num_hidden'? FcnFactory has: num_hidden"),
    ],
)
def test_the_nearest_name_is_said_once_and_with_its_full_key(override: str, expected: str) -> None:
    (problem,) = mistakes(*CMNIST, override)
    assert expected in problem
    assert problem.count("Did you mean") == 1


@pytest.mark.parametrize(
    "overrides",
    [
        ("sed=3", "sed=3"),
        ("sed=3", "++sed=4"),
        ("+model.hiden=3", "+model.hiden=4"),
        ("trainig.epochs=2", "trainig.max_steps=3"),
        ("model=cn", "model=cn"),
        ("opt.lr=fast", "opt.lr=fast"),
        ("opt.lr=[1", "opt.lr=[1"),
    ],
    ids=" ".join,
)
def test_a_mistake_that_is_made_twice_is_listed_once(overrides: tuple[str, str]) -> None:
    twice, *others = mistakes(*CMNIST, *overrides)
    is_unread = overrides[0] in ("trainig.epochs=2", "opt.lr=[1")
    assert len(others) == (0 if is_unread else 1)
    assert "is set 2 times" in twice or is_unread


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
        "sed is not an option: Config has no 'sed'. Did you mean 'seed'?",
        "Could not override 'opt.lrr'",
        "foo is not an option",
        "training.epochs=some",
        "dm.num_colors must be ≥ 1, ≤ 10, got 11",
        "opt.warmup as a fraction must be ≤ 1, got 2.5",
    ):
        assert key in text


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["opt.lr=0", "opt.warmup=2"], ["opt.lr must be", "opt.warmup must be 0 with opt.sched"]),
        (["+opt.lrr=1", "opt.warmup=2"], ["opt.lrr is not", "opt.warmup must be 0 with opt.sch"]),
        (
            ["training.log_every=0", "training.parallel=fsdp", "training.precision=fp16"],
            [
                "training.log_every must be",
                "training.precision=fp16 cannot be combined with training.p",
            ],
        ),
        # What follows from a mistake is no mistake of its own.
        (["dm.num_colors=11", "dm.colors=[1,2]"], ["dm.num_colors must be"]),
        (["opt.warmup=-2.5", "opt.schedule=one_cycle"], ["opt.warmup must be ≥ 0"]),
    ],
    ids=str,
)
def test_a_broken_bound_does_not_hide_the_rules_on_other_options(
    overrides: list[str], expected: list[str]
) -> None:
    problems = mistakes(*CMNIST, *overrides)
    assert len(problems) == len(expected)
    assert all(text.startswith(start) for text, start in zip(problems, expected, strict=True))


def test_that_the_parts_do_not_fit_is_said_beside_what_is_wrong_elsewhere() -> None:
    import toy_domain

    assert toy_domain
    problems = mistakes("dm=toy_sets", "model=fcn", "opt.lr=0")
    assert len(problems) == 2
    assert problems[0] == "opt.lr must be > 0, got 0.0"
    assert problems[1].startswith("model=fcn does not fit dm=toy_sets")


def test_null_for_what_is_required_lists_the_choices(conf: Path) -> None:
    (conf / "model" / "wide.yaml").write_text("defaults: [fcn]\nhidden_dim: 300\n")
    for key, members in (
        ("model", {"cnn", "fcn", "resnet", "torchvision", "wide"}),
        ("dm", {"celeba", "cmnist"}),
    ):
        (problem,) = mistakes(f"{key}=null", conf=str(conf))
        said, _, allowed = problem.removesuffix(".").partition(" Allowed: ")
        assert said == f"{key}=null: one must be chosen."
        assert members <= set(allowed.split(", "))  # other tests may have registered more


def test_the_members_to_choose_from_include_the_files(conf: Path) -> None:
    (conf / "model" / "wide.yaml").write_text("defaults: [fcn]\nhidden_dim: 300\n")
    (problem,) = mistakes("~model", conf=str(conf))
    offered = problem.rpartition("model=")[2].removesuffix(".").split("|")
    assert {"cnn", "fcn", "resnet", "torchvision", "wide"} <= set(offered)


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


@pytest.mark.parametrize("name", ["model/wide", "config"])
def test_a_file_in_another_encoding_is_named(conf: Path, name: str) -> None:
    file = conf / f"{name}.yaml"
    file.write_bytes("defaults: [fcn]\nnum_hidden: 1  # größer\n".encode("latin-1"))
    problems = mistakes("model=wide", conf=str(conf)) if "/" in name else mistakes(conf=str(conf))
    assert problems == (f"{file}, line 2: the file is not UTF-8. Save it as UTF-8.",)


def test_question_marks_in_a_file_demand_a_value_where_there_is_a_default(conf: Path) -> None:
    (conf / "model" / "asks.yaml").write_text("defaults: [fcn]\nhidden_dim: ???\n")
    (conf / "experiment" / "gives.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /model: asks\nmodel: {hidden_dim: 7}\n"
    )
    (conf / "experiment" / "asks.yaml").write_text("# @package _global_\nopt:\n  lr: ???\n")
    demand = "model.hidden_dim must be given: "
    assert mistakes("model=asks", conf=str(conf))[0].startswith(demand)
    both = mistakes("model=asks", "+experiment=asks", "seed=-1", conf=str(conf))
    assert [problem.split(" ")[0] for problem in both] == ["model.hidden_dim", "opt.lr", "seed"]
    assert compose(["model=asks", "model.hidden_dim=5"], conf=conf).model == FcnFactory(
        hidden_dim=5
    )
    assert compose(["+experiment=gives"], conf=conf).model == FcnFactory(hidden_dim=7)
    assert compose(conf=conf).model == FcnFactory()


def test_links_and_folders_do_not_hide_the_file_in_another_encoding(conf: Path) -> None:
    (conf / "model" / "nowhere.yaml").symlink_to(conf / "gone.yaml")
    (conf / "model" / "folder.yaml").mkdir()
    (conf / "model" / "wide.yaml").write_bytes("defaults: [fcn]  # größer\n".encode("latin-1"))
    (problem,) = mistakes("model=wide", conf=str(conf))
    assert problem.startswith(f"{conf / 'model' / 'wide.yaml'}, line 1: the file is not UTF-8.")


@pytest.mark.parametrize("overrides", [[("opt.lr", 1)], [None], [b"seed=1"]])
def test_what_is_no_text_is_no_override(overrides: list[Any]) -> None:
    with pytest.raises(UserError, match="compose takes strings such as 'model=cnn', got "):
        compose(overrides)


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


def test_a_file_that_does_not_say_what_it_changes_is_told_so(conf: Path) -> None:
    (conf / "model" / "bare.yaml").write_text("kernel_size: 3\n")
    problems = mistakes("model=bare", conf=str(conf))
    assert any("Start it with a defaults list that names one" in text for text in problems)


def test_a_file_with_the_name_of_what_it_starts_from_is_explained(conf: Path) -> None:
    (conf / "model" / "cnn.yaml").write_text("defaults:\n  - cnn\n")
    (problem,) = mistakes("model=cnn", conf=str(conf))
    assert "form a cycle" in problem


@pytest.mark.parametrize(
    "text",
    [
        "seed: 3\n",
        "defaults: [override /model: cnn]\nseed: 3\n",
        "defaults: [override /model: cnn]\n# @package _global_\nseed: 3\n",
        "defaults: [/model: cnn]\nseed: 3\n",
    ],
)
def test_an_experiment_without_its_first_line_is_explained(conf: Path, text: str) -> None:
    (conf / "experiment" / "local.yaml").write_text(text)
    (problem,) = mistakes("+experiment=local", conf=str(conf))
    assert problem.startswith("In experiment/local.yaml: ")
    assert "its file must begin with the line `# @package _global_`" in problem


def test_an_unknown_name_in_a_defaults_list_gets_the_nearest(conf: Path) -> None:
    (conf / "model" / "wide.yaml").write_text("defaults:\n  - fnc\n")
    (problem,) = mistakes("model=wide", conf=str(conf))
    said = "`fnc`: there is no such model. Did you mean 'fcn'?"
    assert problem.startswith(f"{conf}/model/wide.yaml: {said}")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("override /modell: cnn", "there is no group 'modell'. Did you mean 'model'? Allowed: dm,"),
        ("override model: cnn", "Did you mean `override /model: cnn`?"),
        ("override /experiment: other", "no 'experiment' is chosen before it."),
        ("/modell: cnn", "there is no group 'modell'. Did you mean 'model'? Allowed: dm,"),
    ],
)
def test_an_unknown_group_in_a_defaults_list_gets_the_nearest(
    conf: Path, entry: str, expected: str
) -> None:
    file = conf / "experiment" / "local.yaml"
    file.write_text(f"# @package _global_\ndefaults:\n  - {entry}\n")
    (conf / "config.yaml").write_text("defaults: [config_schema, experiment/local, _self_]\n")
    (problem,) = mistakes(conf=str(conf))
    assert "experiment/local" in problem
    assert expected in problem


def test_a_file_with_the_wrong_suffix_does_not_hide_the_mistake(conf: Path) -> None:
    (conf / "model" / "wide.yml").write_text("defaults:\n  - fcn\n")
    (problem,) = mistakes("model=wide", conf=str(conf))
    assert problem.startswith(str(conf / "model" / "wide.yml"))
    assert "Rename it to wide.yaml." in problem


def test_what_only_a_job_knows_is_left_to_the_job() -> None:
    (problem,) = mistakes(*CMNIST, "wandb.dir=${hydra:runtime.output_dir}/wandb")
    assert problem == "wandb.dir: only a running job knows this."


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    "override", ["dm.root=~/digits", "dm.root='~/digits'", "++dm.root=~/digits"]
)
def test_the_home_directory_may_be_written_as_in_a_shell(home: Path, override: str) -> None:
    config = compose([*CMNIST, override, "checkpoint.load=~/run"])
    assert isinstance(config.dm, ColoredMNISTDataModule)
    assert config.dm.root == home / "digits"
    assert config.checkpoint.load == home / "run"
    assert plain_values(config)["dm"]["root"] == f"{home}/digits"


def test_the_home_directory_may_be_written_so_in_files(conf: Path, home: Path) -> None:
    (conf / "dm").mkdir()
    (conf / "dm" / "faces.yaml").write_text("defaults: [celeba]\nroot: ~/faces\ncache_dir: ~\n")
    (conf / "config.yaml").write_text(
        "defaults: [config_schema, dm: faces, model: cnn, _self_]\ncheckpoint: {load: ~/run}\n"
    )
    config = compose(["dm.cache_dir=~"])
    assert isinstance(config.dm, CelebADataModule)
    assert (config.dm.root, config.dm.cache_dir) == (home / "faces", home)
    assert config.checkpoint.load == home / "run"


def test_only_a_tilde_that_begins_a_path_is_a_home_directory(home: Path) -> None:
    config = compose([*CMNIST, "wandb.name='a,~/b'", "dm.root='x/~/y'"])
    assert config.wandb.name == "a,~/b"
    assert isinstance(config.dm, ColoredMNISTDataModule)
    assert config.dm.root == Path("x/~/y")


def test_a_home_directory_that_does_not_exist_is_named(home: Path) -> None:
    with pytest.raises(UserError, match=r"dm.root: there is no home directory ~nobody7"):
        compose([*CMNIST, "dm.root=~nobody7/x"])
    assert mistakes(*CMNIST, "dm.root='~nobody7/x'", "opt.lr=-1") == (
        "dm.root: there is no home directory ~nobody7.",
        "opt.lr must be > 0, got -1.0",
    )
