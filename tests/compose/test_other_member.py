"""A sampler or pruner other than the one that the file has options for."""

from pathlib import Path

import pytest
from hydra.types import RunMode
from omegaconf import DictConfig

from runwright import Config, ConfigError
from runwright.compose._hydra import search_path
from runwright.compose.loader import StrictConfigLoader
from runwright.compose.schema import store
from runwright.domains import register_domains

CONF = Path(__file__).parents[2] / "conf"


def composed(*overrides: str, conf: Path = CONF) -> DictConfig:
    """The configuration of a multirun, whose jobs can be composed too."""
    register_domains()
    store(Config)
    loader = StrictConfigLoader(search_path(conf))
    found = loader.load_configuration("config", [*overrides], RunMode.MULTIRUN)
    job = loader.load_sweep_config(found, ["dm=cmnist", "model=fcn"])
    assert job.hydra.sweeper == found.hydra.sweeper
    return found


def test_the_options_of_a_file_apply_to_its_own_member() -> None:
    for chosen in ([], ["hydra/sweeper/sampler=tpe", "hydra/sweeper/pruner=median"]):
        sweeper = composed("hydra/sweeper=fcn_params_pruned", *chosen).hydra.sweeper
        assert sweeper.sampler.constant_liar is True
        assert sweeper.pruner.n_warmup_steps == 60


@pytest.mark.parametrize("name", ["fcn_params", "fcn_params_pruned"])
@pytest.mark.parametrize("sampler", ["random", "cmaes", "nsgaii", "grid", "qmc", "gp"])
def test_every_sampler_can_be_chosen_beside_a_shipped_file(
    name: str, sampler: str, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = composed(f"hydra/sweeper={name}", f"hydra/sweeper/sampler={sampler}").hydra
    plain = composed("hydra/sweeper=optuna", f"hydra/sweeper/sampler={sampler}").hydra
    assert chosen.sweeper.sampler == plain.sweeper.sampler
    assert chosen.sweeper.study_name == name
    assert chosen.runtime.choices["hydra/sweeper/sampler"] == sampler
    assert chosen.runtime.choices["hydra/sweeper"] == name
    assert f"the options that hydra/sweeper={name} has for tpe do not apply" in (
        capsys.readouterr().err
    )


def test_another_pruner_leaves_the_options_of_the_sampler() -> None:
    typed = ["hydra/sweeper/pruner=none", "hydra/sweeper/sampler=tpe", "hydra.sweeper.n_trials=3"]
    chosen = composed("hydra/sweeper=fcn_params_pruned", *typed).hydra
    assert chosen.sweeper.pruner == {"_target_": "optuna.pruners.NopPruner"}
    assert chosen.sweeper.sampler.constant_liar is True
    assert chosen.sweeper.n_trials == 3
    assert set(typed) <= set(chosen.overrides.hydra)


def test_what_is_typed_applies_to_the_member_that_is_typed() -> None:
    other = ("hydra/sweeper=fcn_params", "hydra/sweeper/sampler=random")
    assert composed(*other, "hydra.sweeper.sampler.seed=3").hydra.sweeper.sampler.seed == 3
    with pytest.raises(ConfigError, match="constant_liar"):
        composed(*other, "hydra.sweeper.sampler.constant_liar=true")


def test_a_file_of_ones_own_that_builds_on_another_is_no_exception(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "defaults: [config_schema, dm: cmnist, model: fcn, _self_]\n"
    )
    folder = tmp_path / "hydra" / "sweeper"
    folder.mkdir(parents=True)
    (folder / "base.yaml").write_text("defaults: [runwright]\npruner: {n_warmup_steps: 5}\n")
    (folder / "mine.yaml").write_text("defaults: [base]\nsampler: {n_ei_candidates: 9}\n")
    typed = ("hydra/sweeper/sampler=random", "hydra/sweeper/pruner=hyperband")
    chosen = composed("hydra/sweeper=mine", *typed, conf=tmp_path).hydra.sweeper
    assert set(chosen.sampler) == {"_target_", "seed"}
    assert "n_warmup_steps" not in chosen.pruner


@pytest.mark.parametrize(
    ("chosen", "typed", "said"),
    [
        (
            "optuna",
            "hydra/sweeper/pruner=none",
            "optuna does not prune; hydra/sweeper=runwright does.",
        ),
        ("fcn_params", "hydra/sweeper/pruner=none", "fcn_params does not prune; hydra/sweeper=r"),
        ("fcn_params", "+hydra/sweeper/pruner=none", "fcn_params does not prune; hydra/sweeper=r"),
        (
            "basic",
            "+hydra/sweeper/sampler=tpe",
            "basic has no sampler; hydra/sweeper=optuna and hydra/sweeper=runwright have.",
        ),
    ],
)
def test_what_the_chosen_sweeper_lacks_is_told_with_the_one_that_has_it(
    chosen: str, typed: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        composed(f"hydra/sweeper={chosen}", typed)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{typed}: hydra/sweeper={said}")
    with pytest.raises(ConfigError) as caught:
        composed(f"hydra/sweeper={chosen}", "hydra.sweeper.heartbeat=3")
    (problem,) = caught.value.problems
    assert " has no 'heartbeat', which hydra/sweeper=runwright has. It has: " in problem


@pytest.mark.parametrize("entry", ["override pruner: none", "pruner: none"])
def test_a_file_is_told_what_its_sweeper_lacks(tmp_path: Path, entry: str) -> None:
    (tmp_path / "hydra" / "sweeper").mkdir(parents=True)
    (tmp_path / "config.yaml").write_text(
        "defaults: [config_schema, dm: cmnist, model: fcn, _self_]\n"
    )
    (tmp_path / "hydra" / "sweeper" / "mine.yaml").write_text(f"defaults: [optuna, {entry}]\n")
    with pytest.raises(ConfigError) as caught:
        composed("hydra/sweeper=mine", conf=tmp_path)
    (problem,) = caught.value.problems
    if entry.startswith("override"):
        assert problem == (
            "In hydra/sweeper/mine.yaml: `override pruner: none`: hydra/sweeper=mine does not "
            "prune; hydra/sweeper=runwright does."
        )
    else:
        assert "OptunaSweeperCfg has no 'pruner', which hydra/sweeper=runwright has." in problem
