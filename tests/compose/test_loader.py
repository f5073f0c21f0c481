"""What the strict loader composes is what Hydra composes."""

# pyright: reportPrivateUsage=false

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from conftest import REPOSITORY
from runwright import Config, ConfigError, compose
from runwright.compose import schema
from runwright.compose._hydra import Composer, search_path
from runwright.compose.delegating_loader import DelegatingLoader
from runwright.compose.loader import StrictConfigLoader, _parsed_once
from runwright.domains import register_domains

CONF = REPOSITORY / "conf"

# Of each option at most one is taken, so that nothing is given twice.
CHOICES = [
    ["model=cnn", "model=resnet", "model=single_linear_layer"],
    ["dm=celeba", "dm=celeba_male_smiling_small"],
    ["+experiment=cmnist/cnn"],
    ["opt.lr=0.1", "opt.lr=1e-3", "++opt.lr=2"],
    ["seed=1", "seed=7"],
    ["training.epochs=null", "training.max_steps=10", "training.epochs=3"],
    ["training.val_every=5", "training.val_every=0.5"],
    ["wandb.tags=[a,b]", "wandb.tags=[]", "wandb.tags=null"],
    ["wandb.name=run", "wandb.name='a b'", "+wandb.name=x"],
    ["opt.warmup=0.1", "opt.warmup=5"],
    ["opt.schedule=cosine", "opt.schedule=linear"],
    ["gpu=-1"],
    ["opt={lr:0.3,weight_decay:0.1}"],
    ["checkpoint.load=some/where", "dm.root=other"],
    ["hydra.job.name=other", "hydra.run.dir=here", "hydra.verbose=true"],
    ["training.monitor=${wandb.project}"],
]


def loaders() -> tuple[StrictConfigLoader, DelegatingLoader]:
    register_domains()
    schema.store(Config)
    return StrictConfigLoader(search_path(CONF)), DelegatingLoader(search_path(CONF))


def as_it_is(node: DictConfig) -> Any:
    """Values, interpolations and types, Hydra's part included."""
    plain = OmegaConf.to_container(node, resolve=False)
    kinds = {key: OmegaConf.get_type(node, key) for key in ("dm", "model", "objective", "opt")}
    return plain, kinds


def lists(seed: int, count: int) -> list[list[str]]:
    chance = random.Random(seed)
    found: list[list[str]] = []
    for _ in range(count):
        taken = [chance.choice(one) for one in CHOICES if chance.random() < 0.3]
        chance.shuffle(taken)
        found.append(taken)
    return found


def test_a_job_is_what_hydra_composes_whatever_was_composed_before() -> None:
    strict, hydras = loaders()
    shared = ["hydra.sweep.dir=there", "hydra.job.chdir=false"]
    master = strict.load_configuration("config", [*shared, "seed=1,2"], RunMode.MULTIRUN)
    of_hydra = hydras.load_configuration("config", [*shared, "seed=1,2"], RunMode.MULTIRUN)
    compared = 0
    for overrides in lists(seed=0, count=120):
        try:
            expected = hydras.load_sweep_config(of_hydra, overrides)
        except HydraException:
            continue
        parsed = [*_parsed_once(tuple(shared)), *strict.composer.parse("config", overrides)]
        composed, problems = strict._composing.compose_job("config", parsed, master)
        assert not problems
        assert as_it_is(composed) == as_it_is(expected), overrides
        compared += 1
    assert compared > 80
    assert master.hydra.overrides.task == of_hydra.hydra.overrides.task


def test_a_single_run_is_what_hydra_composes() -> None:
    strict, hydras = loaders()
    for overrides in lists(seed=1, count=25):
        try:
            expected = hydras.load_configuration("config", overrides, RunMode.RUN)
        except HydraException:
            continue
        parsed = strict.composer.parse("config", overrides)
        composed, _ = strict._composing.compose("config", parsed, RunMode.RUN)
        assert as_it_is(composed) == as_it_is(expected), overrides


def test_a_dictionary_that_is_given_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    register_domains()
    schema.store(Config)
    (tmp_path / "config.yaml").write_text(
        "defaults: [config_schema, {dm: cmnist}, {model: cnn}, _self_]\n"
        "dm: {label_map: {3: 0, 8: 1}}\n"
    )
    loader = StrictConfigLoader(search_path(tmp_path))
    composed = loader.load_configuration("config", ["dm.label_map={1: 0, 7: 1}"], RunMode.RUN)
    assert composed.dm.label_map == {1: 0, 7: 1}


def test_files_are_read_again_only_where_merging_may_have_lost_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = shutil.copytree(CONF, tmp_path / "conf")
    again: list[object] = []
    defaults = Composer.defaults

    def counted(self: Composer, *args: Any) -> Any:
        again.append(args)
        return defaults(self, *args)

    monkeypatch.setattr(Composer, "defaults", counted)
    compose([], conf=conf)
    assert not again
    (conf / "experiment" / "odd.yaml").write_text("# @package _global_\nwandb: {name: '1.10'}\n")
    assert compose(["+experiment=odd"], conf=conf).wandb.name == "1.10"
    assert again


def test_files_of_a_domain_are_read_again_where_one_is_chosen() -> None:
    with pytest.raises(ConfigError, match=r"finetune\.checkpoint must be given"):
        compose(["+experiment=perturbation/from_state", "dm.toml_config_path=x.toml"], conf=CONF)
