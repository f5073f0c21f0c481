"""What is said of a file or a choice for a group in which a member is chosen already."""

from pathlib import Path

import pytest

import token_domain
from runwright import ConfigError, compose
from runwright.factory import name_of

OF_TOKENS = [f"dm={name_of(token_domain.ToyTokens)}", f"model={name_of(token_domain.TokenModel)}"]


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text("defaults: [config_schema, dm: cmnist, model: cnn]\n")
    return tmp_path


def mistakes(*overrides: str, conf: Path | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as error:
        compose(overrides, conf=conf)
    return error.value.problems


@pytest.mark.parametrize(
    ("file", "text", "base", "line"),
    [
        ("opt/fast", "lr: 0.1", "OptimizerFactory", "`defaults: [torch]`."),
        ("stage/quick", "", "Stage", "`defaults: [fit]`."),
        (
            "stage/sure",
            "num_bootstrap_runs: 9",
            "Stage",
            "`defaults: [NAME]`, where NAME is one of: compare, test, validate.",
        ),
        ("stage/table", "format: csv", "Stage", "`defaults: [predict]`."),
        ("model/wide", "num_hidden: 9", "ModelFactory", "`defaults: [fcn]`."),
        (
            "dm/own",
            "root: here",
            "DataModule",
            "where NAME is one of: celeba, cmnist, image_folder, torchvision.",
        ),
    ],
)
def test_a_file_without_its_first_line_is_named_with_it(
    file: str, text: str, base: str, line: str, conf: Path
) -> None:
    (conf / file).parent.mkdir()
    (conf / f"{file}.yaml").write_text(text)
    problem = mistakes(file.replace("/", "="), conf=conf)[0]
    said = f"{conf}/{file}.yaml does not say which {base} it changes. The first line must be "
    assert problem.startswith(said)
    assert problem.endswith(line)


def test_a_file_for_a_part_of_a_model_is_named_too(conf: Path) -> None:
    (conf / "model" / "body").mkdir(parents=True)
    file = conf / "model" / "body" / "mine.yaml"
    file.write_text("bias: false\n")
    (problem,) = mistakes(*OF_TOKENS, "model/body=mine", conf=conf)
    assert problem == (
        f"{file} does not say which Body it changes. The first line must be `defaults: [linear]`."
    )


def test_a_file_of_an_open_group_needs_no_first_line(conf: Path) -> None:
    (conf / "machine").mkdir()
    (conf / "machine" / "far.yaml").write_text("num_workers: 3\n")
    assert compose(["machine=far"], conf=conf).machine.num_workers == 3
    assert compose(["+machine=far"], conf=conf).machine.num_workers == 3
    assert compose(["+machine=local"], conf=conf).machine.num_workers == 0


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("+opt=torch", "opt"),
        ("+opt@opt=torch", "opt"),
        ("+stage=fit", "stage"),
        ("+stage=test", "stage"),
        ("+objective=classification", "objective"),
        ("+model=cnn", "model"),
        ("+model=fcn", "model"),
    ],
)
def test_a_choice_that_is_added_to_one_is_told_how_to_replace_it(
    typed: str, key: str, conf: Path
) -> None:
    name = typed.partition("=")[2]
    expected = f"{typed}: {key} is chosen already. Write {key}={name}."
    assert expected in mistakes(typed, conf=conf)


@pytest.mark.parametrize("member", ["linear", "deep"])
@pytest.mark.parametrize("place", ["", "@model.body"])
def test_so_is_one_for_a_part_of_a_model(member: str, place: str) -> None:
    (problem,) = mistakes(*OF_TOKENS, f"+model/body{place}={member}")
    meant = f"model/body={member}"
    assert problem == f"+model/body{place}={member}: model/body is chosen already. Write {meant}."


def test_other_ways_to_write_a_choice_are_told_the_right_one(conf: Path) -> None:
    assert mistakes("++opt=torch", conf=conf) == (
        "++opt=torch: ++ is for options, not for choices. Write opt=torch.",
    )
    assert mistakes("opt@opt=torch", conf=conf) == (
        "opt@opt=torch: the place of opt needs no @. Write opt=torch.",
    )
