"""A domain with lists of losses, heads that follow from them, and a usual body."""

import os
import sys
from pathlib import Path

import pytest
import yaml

import token_domain
from programs import run_python
from runwright import ConfigError, compose
from token_domain import DeepBody, LinearBody, LossCfg, TokenLosses, TokenModel

TOKENS = ["dm=toy_tokens", "model=token_model", "gpu=-1", "training.max_steps=4", "pictures=false"]
TWO = "objective.losses=[{field:levels},{field:genes,kwargs:{label_smoothing:0.1}}]"
MAIN = "import token_domain; from runwright import app; app.main(None)"
ENV = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def losses(*overrides: str) -> list[LossCfg]:
    objective = compose([*TOKENS, *overrides]).objective
    assert isinstance(objective, TokenLosses)
    return objective.losses


def body(*overrides: str) -> token_domain.Body:
    model = compose([*TOKENS, *overrides]).model
    assert isinstance(model, TokenModel)
    return model.body


def test_it_is_as_short_as_promised() -> None:
    code = Path(token_domain.__file__).read_text().splitlines()
    assert sum(1 for line in code if line.strip()) < 90


def test_heads_follow_from_the_losses(tmp_path: Path) -> None:
    compose([*TOKENS, TWO]).run(tmp_path)
    header = (tmp_path / "metrics.csv").read_text().splitlines()[0]
    assert header.startswith("step,epoch,lr,train_loss,train_levels_0,train_genes_1,val_loss")


def test_a_loss_on_no_field_is_told_with_all_else_before_data_are_read(tmp_path: Path) -> None:
    given = [*TOKENS, "objective.losses=[{field:gene}]", "opt.optimizer_kwargs={beta: 1}"]
    with pytest.raises(ConfigError) as caught:
        compose(given).run(tmp_path / "run")
    assert "there is no field 'gene'. Did you mean 'genes'" in str(caught.value)
    assert "AdamW has no argument 'beta'" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_one_entry_is_changed_by_its_place() -> None:
    assert losses(TWO, "objective.losses.1.weight=7") == [
        LossCfg(),
        LossCfg(field="genes", weight=7.0, kwargs={"label_smoothing": 0.1}),
    ]
    assert losses("objective.losses.0.kwargs={label_smoothing: 0.2}")[0].kwargs == {
        "label_smoothing": 0.2
    }


def test_entries_of_files_are_changed_too(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\nobjective:\n  losses:\n  - field: genes\n  - weight: 3\n"
    (tmp_path / "experiment" / "two.yaml").write_text(text)
    given = [*TOKENS, "+experiment=two", "objective.losses.1.weight=7"]
    objective = compose(given, conf=tmp_path).objective
    assert objective == TokenLosses(losses=[LossCfg(field="genes"), LossCfg(weight=7.0)])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "objective.losses.2.weight=7",
            "objective.losses has 2 entries, objective.losses.0 to objective.losses.1",
        ),
        ("objective.losses.first.weight=7", "objective.losses has 2 entries"),
        ("objective.losses.1.wieght=7", "Did you mean 'objective.losses.1.weight'?"),
        ("objective.losses.1.weight=-7", "objective.losses.1.weight must be ≥ 0, got -7"),
        ("objective.losses.1.weight=heavy", "objective.losses"),
    ],
)
def test_a_mistake_in_an_entry_is_told_with_its_full_key(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        losses(TWO, override)
    assert said in str(caught.value)


def test_text_in_an_entry_keeps_its_characters() -> None:
    with pytest.raises(ConfigError, match="there is no field '1_0'"):
        compose([*TOKENS, "objective.losses=[{field: 1_0}]"]).run()


def test_help_shows_each_entry_with_its_options() -> None:
    done = run_python("-c", MAIN, *TOKENS, TWO, "--help", env=ENV, check=True)
    lines = [line.split("#")[0].rstrip() for line in done.stdout.splitlines()]
    first = lines.index("  losses:")
    assert lines[first + 1 : first + 5] == [
        "    0:",
        "      field: levels",
        "      weight: 1.0",
        "      kwargs: {}",
    ]
    assert "      kwargs: {label_smoothing: 0.1}" in lines


def test_the_usual_body_is_taken_from_python_and_from_the_command_line() -> None:
    usual = TokenModel()  # pyright: ignore[reportCallIssue]  # it knows no usual members
    assert usual.body == LinearBody() == body()
    assert body("model/body=deep", "model.body.layers=3") == DeepBody(layers=3)


def test_a_run_with_another_body_is_reproduced_by_its_record(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    config = compose([*TOKENS, TWO, "model/body=deep"])
    config.run(first)
    recorded = yaml.safe_load((first / "config.yaml").read_text())
    assert {"override model/body": "deep"} in recorded["defaults"]
    again = compose([], conf=first)
    assert again == config
    again.run(second)
    weights = "checkpoints/last.safetensors"
    assert (first / weights).read_bytes() == (second / weights).read_bytes()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model/body=dep", "there is no such model/body. Did you mean 'deep'?"),
        ("model/body=null", "one must be chosen"),
        ("model.body=deep", "model.body=deep: this is chosen with model/body=deep|linear."),
        ("body=deep", "Did you mean 'model/body=…'?"),
        (
            "model.body.layers=3",
            "LinearBody has no 'layers', which model/body=deep has. It has: bias.",
        ),
    ],
)
def test_a_mistake_about_the_body_leads_to_the_right_choice(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([*TOKENS, override])
    assert said in str(caught.value)


def test_a_model_that_takes_no_body_names_one_that_does() -> None:
    with pytest.raises(ConfigError) as caught:
        compose(["dm=toy_tokens", "model=fcn", "model/body=deep"])
    assert "model/body=deep: no chosen component takes a member" in str(caught.value)
    assert "model=token_model does" in str(caught.value)


def test_every_body_is_checked(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(MAIN)
    done = run_python("-m", "runwright", "check", cwd=tmp_path, env=ENV, check=True)
    assert "model/body=deep" in done.stdout
    assert "0 faults" in done.stdout or "No faults" in done.stdout, done.stdout
