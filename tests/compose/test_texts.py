"""Texts keep their characters where Hydra gives the values, or hands on what it has read."""

from pathlib import Path

import pytest
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from conftest import REPOSITORY
from runwright import Config
from runwright.cli import basic_launcher
from runwright.compose._hydra import search_path
from runwright.compose.loader import StrictConfigLoader
from runwright.compose.schema import store
from runwright.domains import register_domains
from runwright.errors import ConfigError


def loader(conf: Path = REPOSITORY / "conf") -> StrictConfigLoader:
    register_domains()
    store(Config)
    basic_launcher.register()
    return StrictConfigLoader(search_path(conf))


def composed(*overrides: str, mode: RunMode = RunMode.RUN) -> DictConfig:
    return loader().load_configuration("config", [*overrides], mode)


@pytest.mark.parametrize("text", ["2024_01_05", "1.10", "1_0", "1e3", "017", "true"])
@pytest.mark.parametrize(
    "key",
    [
        *("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.job.name"),
        *("hydra.launcher.account", "hydra.launcher.qos", "hydra.launcher.comment"),
        *("hydra.sweeper.study_name", "hydra.sweeper.storage"),
        *("+hydra.job.env_set.A", "++hydra.launcher.partition"),
    ],
)
def test_an_option_of_hydras_that_takes_text_keeps_the_characters(key: str, text: str) -> None:
    plugins = ("hydra/launcher=submitit_slurm", "hydra/sweeper=runwright")
    found = composed(*plugins, f"{key}={text}")
    assert OmegaConf.select(found, key.lstrip("+")) == text
    assert f"{key}={text}" in found.hydra.overrides.hydra


@pytest.mark.parametrize("block", ["hydra.run={dir:1_0}", "hydra={run:{dir:1_0}}"])
def test_a_block_of_hydras_options_keeps_the_characters(block: str) -> None:
    assert composed(block).hydra.run.dir == "1_0"


def test_a_list_of_hydras_keeps_the_characters_and_a_number_is_read_as_one() -> None:
    options = ("hydra.launcher.setup=[1.10,a]", "hydra.launcher.mem_gb=1_0")
    launcher = composed("hydra/launcher=submitit_slurm", *options).hydra.launcher
    assert launcher.setup == ["1.10", "a"]
    assert launcher.mem_gb == 10


@pytest.mark.parametrize("launcher", ["submitit_slurm", "runwright_slurm"])
def test_other_options_of_sbatch_are_texts_and_flags(launcher: str, tmp_path: Path) -> None:
    given = "additional_parameters={reservation:2024_01,nice:10,exclusive:true}"
    key = "hydra.launcher.additional_parameters"
    chosen = f"hydra/launcher={launcher}"
    found = composed(chosen, f"hydra.launcher.{given}", f"+{key}.qos=1.10").hydra.launcher
    texts = {"reservation": "2024_01", "nice": "10", "qos": "1.10"}
    assert found.additional_parameters == {**texts, "exclusive": True}
    (tmp_path / "hydra" / "launcher").mkdir(parents=True)
    (tmp_path / "config.yaml").write_text(
        "defaults: [config_schema, {dm: cmnist}, {model: fcn}, _self_]\n"
    )
    file = tmp_path / "hydra" / "launcher" / "mine.yaml"
    file.write_text(f"defaults: [{launcher}]\nadditional_parameters: {{nice: 10, qos: 2024_01}}\n")
    with pytest.raises(ConfigError) as caught:
        loader(tmp_path).load_configuration("config", ["hydra/launcher=mine"], RunMode.RUN)
    (problem,) = caught.value.problems
    said = f"{key}.qos takes text, and YAML reads 2024_01 as 202401. Quote it: '2024_01'."
    assert problem == f"{file}, line 2: {said}"


@pytest.mark.filterwarnings("ignore:extend_list")
@pytest.mark.parametrize(
    ("typed", "handed_on"),
    [
        ("wandb.name=1.10,1.1,b", "wandb.name='1.10',1.1,b"),
        ("wandb.name=choice(1_0,10)", "wandb.name=choice('1_0',10)"),
        ("wandb.name=shuffle(1.10,a)", "wandb.name=shuffle('1.10',a)"),
        ("wandb.name=sort(1.10,9,reverse=true)", "wandb.name=sort('1.10','9',reverse=true)"),
        ("wandb.name=1_0", "wandb.name='1_0'"),
        ("+wandb.name=1_0", "+wandb.name='1_0'"),
        ("wandb.tags=[1.10],[1,a]", "wandb.tags=['1.10'],[1,a]"),
        ("wandb.tags=extend_list(1.10,a)", "wandb.tags=extend_list('1.10','a')"),
        ("wandb={name:1.10,id:a},{name:b}", "wandb={name:'1.10',id:'a'},{name:b}"),
        ("wandb.name=range(1,3)", "wandb.name=range(1,3)"),
        ("opt.lr=1e-3,1.10", "opt.lr=1e-3,1.10"),
        ("opt.optimizer_kwargs.eps=1e-3,1.10", "opt.optimizer_kwargs.eps=1e-3,1.10"),
    ],
)
def test_what_a_multirun_goes_through_keeps_the_characters(typed: str, handed_on: str) -> None:
    found = composed(typed, "seed=1,2", mode=RunMode.MULTIRUN)
    assert found.hydra.overrides.task == [handed_on, "seed=1,2"]


def test_a_job_has_the_characters_that_were_typed_for_it() -> None:
    strict = loader()
    sweep = strict.load_configuration("config", ["wandb.name=1.10,1.1"], RunMode.MULTIRUN)
    names = [
        strict.load_sweep_config(sweep, [override]).wandb.name
        for override in ("wandb.name='1.10'", "wandb.name=1.1")
    ]
    assert names == ["1.10", "1.1"]


def test_what_a_sweeper_goes_through_keeps_the_characters() -> None:
    params = "hydra.sweeper.params={wandb.name:'choice(1.10,1.1)',opt.lr:'1e-3,1.10'}"
    found = composed("hydra/sweeper=runwright", params, mode=RunMode.MULTIRUN).hydra.sweeper
    assert found.params == {"wandb.name": "choice('1.10',1.1)", "opt.lr": "1e-3,1.10"}


def test_what_a_sweeper_goes_through_under_a_condition_keeps_the_characters(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.yaml").write_text(
        "defaults: [config_schema, {dm: cmnist}, {model: cnn}, "
        "{override hydra/sweeper: runwright}, _self_]\n"
        "hydra: {sweeper: {when: {seed=1: {wandb.id: '1_0,b'}}}}\n"
    )
    found = loader(tmp_path).load_configuration("config", [], RunMode.MULTIRUN)
    assert found.hydra.sweeper.when == {"seed=1": {"wandb.id": "'1_0',b"}}


def test_what_is_enqueued_keeps_the_characters_of_options_that_take_text() -> None:
    trials = "[{wandb.name: 1.10, opt.lr: 1.10}, {wandb.tags: [1_0,a]}]"
    enqueued = ("hydra/sweeper=runwright", f"hydra.sweeper.enqueue={trials}")
    found = composed(*enqueued, mode=RunMode.MULTIRUN).hydra.sweeper.enqueue
    assert found == [{"wandb.name": "1.10", "opt.lr": 1.1}, {"wandb.tags": ["1_0", "a"]}]


def test_a_text_that_is_enqueued_in_a_file_and_read_as_a_number_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "defaults: [config_schema, {dm: cmnist}, {model: cnn}, "
        "{override hydra/sweeper: runwright}, _self_]\n"
        "hydra: {sweeper: {enqueue: [{opt.lr: 1.10}, {wandb.name: 1.10}]}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        loader(tmp_path).load_configuration("config", [], RunMode.MULTIRUN)
    said = "wandb.name takes text, and YAML reads 1.10 as 1.1. Quote it: '1.10'."
    assert caught.value.problems == (f"{file}, line 2: hydra.sweeper.enqueue.1.{said}",)


def test_a_dictionary_of_hydras_takes_the_place_of_that_in_a_file() -> None:
    given = ("hydra.sweeper.params={opt.lr:'1,2'}", "+hydra.sweeper.params.seed='1,2'")
    found = composed("hydra/sweeper=fcn_params", *given, mode=RunMode.MULTIRUN)
    assert found.hydra.sweeper.params == {"opt.lr": "1,2", "seed": "1,2"}
