"""Mistakes in YAML files are named with the file."""

from pathlib import Path

import pytest

from compose.conftest import mistakes
from runwright import compose
from runwright.domains.vision.choices import (
    FcnFactory,
)


def test_mistakes_in_a_file_are_named_with_the_file_and_all_at_once(conf: Path) -> None:
    (conf / "model" / "wide.yaml").write_text(
        "defaults:\n  - fcn\nhiden_dim: 300\nnum_hidden: many\ndropout_prob: 2\n"
    )
    problems = mistakes("model=wide", conf=str(conf))
    text = "\n".join(problems)
    assert len(problems) == 3
    assert "In model/wide.yaml: model.hiden_dim is not an option" in text
    assert "Did you mean 'model.hidden_dim'?" in text
    assert "In model/wide.yaml: model.num_hidden must be an integer ≥ 0, got 'many'" in text
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


def test_a_primary_configuration_without_the_schema_is_told_how_to_get_it(conf: Path) -> None:
    (conf / "config.yaml").write_text("defaults:\n  - dm: cmnist\n  - model: fcn\n")
    (problem,) = mistakes(conf=str(conf))
    assert "config_schema" in problem


def test_a_target_in_a_file_is_a_key_like_any_other(conf: Path) -> None:
    (conf / "model" / "evil.yaml").write_text("defaults:\n  - fcn\n_target_: os.system\n")
    (problem,) = mistakes("model=evil", conf=str(conf))
    assert "_target_ is not an option" in problem


def test_a_file_that_does_not_say_what_it_changes_is_told_so(conf: Path) -> None:
    (conf / "model" / "bare.yaml").write_text("kernel_size: 3\n")
    problems = mistakes("model=bare", conf=str(conf))
    said = f"{conf}/model/bare.yaml does not say which ModelFactory it changes. The first line must"
    assert f"{said} be `defaults: [cnn]`." in problems


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


def test_a_first_line_with_another_package_is_told_with_the_right_one(conf: Path) -> None:
    text = "# @package global\ndefaults: [override /model: cnn]\n"
    (conf / "experiment" / "local.yaml").write_text(text)
    (problem,) = mistakes("+experiment=local", conf=str(conf))
    assert problem == (
        "In experiment/local.yaml: `override /model: cnn`: no 'model' is chosen for "
        "'global.model'. In an experiment, the first line must be `# @package _global_`."
    )


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
        ("model: cnn", "no group 'experiment/model'. Did you mean `override /model: cnn`?"),
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


def test_a_wrong_value_of_an_option_without_a_default_is_not_called_unknown(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "defaults: [config_schema, dm: perturbation, model: state_sm, _self_]\n"
        "dm: {toml_config_path: null}\n"
    )
    problems = mistakes(conf=str(tmp_path))
    assert problems[0].startswith("In config.yaml: dm.toml_config_path")
    assert not any("is not an option" in problem for problem in problems)


def test_what_an_experiment_may_give_is_not_demanded_where_its_name_is_wrong(conf: Path) -> None:
    (conf / "config.yaml").write_text(
        "defaults:\n- config_schema\n- dm: ???\n- model: ???\n- _self_\n"
    )
    (conf / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 1\n")
    (problem,) = mistakes("+experiment=mien", conf=str(conf))
    assert problem.startswith("experiment=mien: there is no such experiment. Did you mean 'mine'?")
    two = mistakes("+experiment=mien", "opt.lr=high", conf=str(conf))
    assert [text.partition(" ")[0] for text in two] == ["experiment=mien:", "opt.lr"]


def test_a_factory_is_not_told_as_a_file() -> None:
    (problem,) = mistakes("dm=cmnist", "model=fcn", "+model@modl=cnn")
    assert problem.startswith("model=cnn: modl is not an option: Config has no 'modl'. Did you")


@pytest.mark.parametrize("name", ["experiment/mine", "model/wide"])
def test_an_entry_that_is_twice_is_told_wherever_the_file_is_chosen(conf: Path, name: str) -> None:
    group, _, file = name.partition("/")
    (conf / f"{name}.yaml").write_text("# @package _global_\ndefaults: [_self_, _self_]\n")
    (conf / "experiment" / "over.yaml").write_text(
        f"# @package _global_\ndefaults: [override /{group}: {file}]\n".replace(
            "override /experiment: ", ""
        )
    )
    said = f"In {name}.yaml: the defaults list has '_self_' twice. Keep only one."
    assert mistakes("+experiment=over", conf=str(conf)) == (said,)
