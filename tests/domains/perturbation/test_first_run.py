"""`+experiment=perturbation/first_run` is STATE's documented first run, and composes like it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import Run
from domains.perturbation.state_seed import COMMAND, FINAL_VALUES, MAIN
from runwright import Original, compose
from runwright.config import Config
from runwright.domains.perturbation.llama import LlamaBackbone
from runwright.domains.perturbation.migrate_state import MigrateState
from runwright.domains.perturbation.pertsets import StateSmallFactory
from runwright.migration.migration import read_original
from runwright.plain import leaves, plain_values
from runwright.rundir.directory import RunDir

EXPERIMENT = "+experiment=perturbation/first_run"

# Each line of the documented table, as it is in the saved configuration here.
HERE = {
    "data.kwargs.toml_config_path": "dm.toml_config_path",
    "data.kwargs.num_workers": "dm.num_workers",
    "data.kwargs.batch_col": "dm.batch_col",
    "data.kwargs.pert_col": "dm.pert_col",
    "data.kwargs.control_pert": "dm.control_pert",
    "data.kwargs.perturbation_features_file": "dm.perturbation_features_file",
    "model.kwargs.use_basal_projection": "model.use_basal_projection",
    "model.kwargs.predict_residual": "model.predict_residual",
    "model.kwargs.hidden_dim": "model.hidden_dim",
    "training.max_steps": "training.max_steps",
    "training.ckpt_every_n_steps": "checkpoint.keep_every",
    "wandb.tags": "wandb.tags",
}
# A choice is in the defaults list, and the directory of the run in no option of it.
CHOSEN = {"model": "model", "model.kwargs.transformer_backbone_key": "override model/backbone"}
DIRECTORY = {"name", "output_dir"}


def composed(*overrides: str) -> Config:
    return compose([EXPERIMENT, *overrides])


@pytest.fixture
def saved(tmp_path: Path) -> dict[str, Any]:
    """The config.yaml that the run writes to its directory before anything else."""
    with RunDir.open(tmp_path / "run", composed()) as directory:
        text = (directory.path / "config.yaml").read_text()
    return yaml.safe_load(text)


def test_every_line_of_the_documented_table_is_in_the_saved_configuration(
    saved: dict[str, Any],
) -> None:
    assert {*HERE, *CHOSEN, *DIRECTORY} == FINAL_VALUES.keys()
    values = dict(leaves(saved))
    defaults: dict[str, str] = {}
    for entry in saved["defaults"]:
        defaults |= entry if isinstance(entry, dict) else {}
    for theirs, here in HERE.items():
        assert values[here] == FINAL_VALUES[theirs], theirs
    for theirs, group in CHOSEN.items():
        assert defaults[group] == FINAL_VALUES[theirs], theirs


def test_it_runs_in_the_documented_directory(run_main: Run) -> None:
    shown = run_main("--cfg", "hydra", EXPERIMENT).stdout
    assert yaml.safe_load(shown)["hydra"]["run"]["dir"] == "competition/first_run"


def test_the_saved_configuration_is_enough_to_compose_it_again(
    saved: dict[str, Any], tmp_path: Path
) -> None:
    assert saved
    assert compose(conf=tmp_path / "run") == composed()


def test_it_is_what_the_documented_command_becomes(tmp_path: Path) -> None:
    migrated = MigrateState().migrated(Original(read_original([MAIN], COMMAND)))
    path = tmp_path / "conf" / "experiment" / "first_run.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(migrated.experiment("the documented command"))
    (tmp_path / "conf" / "config.yaml").write_text(
        "defaults: [config_schema, dm: cmnist, model: fcn, _self_]\n"
    )
    of_command = compose(["+experiment=first_run"], conf=tmp_path / "conf")
    assert of_command == composed("model.backbone.head_dim=84")  # which null stands for


def test_dictionaries_merge_deeply() -> None:
    usual = plain_values(composed().model)["backbone"]
    changed = plain_values(composed("model.backbone.num_hidden_layers=2").model)["backbone"]
    assert changed == {**usual, "num_hidden_layers": 2}
    dm = plain_values(composed("dm.num_workers=12").dm)
    assert dm == {**plain_values(composed().dm), "num_workers": 12}


def test_lists_are_replaced() -> None:
    assert composed("wandb.tags=[second, run]").wandb.tags == ["second", "run"]
    pertsets = composed("model=pertsets", "model.decoder_hidden_dims=[64]").model
    assert plain_values(pertsets)["decoder_hidden_dims"] == [64]


def test_choosing_another_model_replaces_all_of_the_first(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "config.yaml").write_text(
        "defaults: [config_schema, dm: perturbation, model: pertsets, _self_]\n"
        "dm: {toml_config_path: a.toml}\n"
    )
    before = plain_values(compose(conf=conf).model)
    assert before["backbone"].keys() >= {"n_layer", "n_head", "resid_pdrop"}
    assert (before["cell_set_len"], before["hidden_dim"]) == (512, 328)
    after = compose(["model=state_sm"], conf=conf).model
    assert isinstance(after, StateSmallFactory)
    assert plain_values(after) == plain_values(StateSmallFactory(backbone=LlamaBackbone()))
    assert not plain_values(after.backbone).keys() & before["backbone"].keys()


def test_the_sets_of_the_data_follow_those_of_the_model() -> None:
    assert plain_values(composed().dm)["cell_set_len"] == 128
    assert plain_values(composed("model.cell_set_len=64").dm)["cell_set_len"] == 64
    assert plain_values(composed("model=pertsets").dm)["cell_set_len"] == 512
    assert plain_values(composed("dm.cell_set_len=32").dm)["cell_set_len"] == 32
