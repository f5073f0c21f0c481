"""Which samplers and pruners can be chosen, and what is wrong with their options."""

from typing import Any, Literal

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from runwright import ConfigError, UserError
from runwright.sweep.algorithms import make_pruner, make_sampler, problems_of_options
from runwright.sweep.checks import check
from runwright.sweep.space import SearchSpace
from runwright.sweep.sweeper_cfg import SweeperCfg

SPACE = SearchSpace.parse({"a": "1,2"}, {}, [])


def member(part: str, name: str, **options: Any) -> dict[str, Any]:
    """The options of a sampler or a pruner, some of them altered."""
    Plugins.instance()  # which store them
    node = ConfigStore.instance().load(f"hydra/sweeper/{part}/{name}.yaml").node
    found: Any = OmegaConf.to_container(node)
    return {**found, **options}


def options(**given: Any) -> SweeperCfg:
    parts: dict[str, Any] = {
        "sampler": member("sampler", "tpe"),
        "pruner": member("pruner", "median"),
    }
    return SweeperCfg(**parts, **given)


@pytest.mark.parametrize(
    "name", ["tpe", "random", "cmaes", "nsgaii", "nsgaiii", "grid", "qmc", "gp"]
)
def test_every_sampler_can_be_chosen(name: str) -> None:
    chosen = member("sampler", name)
    assert not [*problems_of_options("sampler", chosen)]
    make_sampler(chosen, SPACE)


@pytest.mark.parametrize("name", ["median", "successive_halving", "hyperband", "wilcoxon", "none"])
def test_every_pruner_can_be_chosen(name: str) -> None:
    chosen = member("pruner", name)
    assert not [*problems_of_options("pruner", chosen)]
    make_pruner(chosen)


@pytest.mark.parametrize(
    ("part", "name", "option", "value", "message"),
    [
        ("sampler", "tpe", "n_startup_trials", -1, "must be ≥ 0, got -1."),
        ("sampler", "tpe", "seed", -1, "must be ≥ 0, ≤ 4294967295, got -1."),
        ("sampler", "tpe", "prior_weight", float("nan"), "must be ≥ 0, got nan."),
        ("sampler", "tpe", "constraints_func", "os.system", "it can only be made in Python"),
        ("sampler", "cmaes", "sigma0", float("inf"), "must be ≥ 0, got inf."),
        ("sampler", "nsgaii", "population_size", 1, "must be ≥ 2, got 1."),
        ("sampler", "nsgaii", "mutation_prob", 1.5, "must be ≥ 0, ≤ 1, got 1.5."),
        ("sampler", "nsgaii", "crossover", "uniform", "must have a _target_, such as {_target_: o"),
        ("sampler", "tpe", "_target_", "optuna.logging.os.system", "Allowed: hydra_plugins"),
        (
            "sampler",
            "tpe",
            "_target_",
            "optuna.samplers.TPESample",
            "Did you mean 'optuna",
        ),
        ("pruner", "median", "_target_", "optuna.samplers.TPESampler", "Allowed: optuna.pruners.H"),
        ("pruner", "median", "n_min_trials", 0, "must be ≥ 1, got 0."),
        ("pruner", "hyperband", "max_resource", "all", "must be auto or an integer, got all."),
        ("pruner", "hyperband", "max_resource", 0, "must be ≥ 1, got 0."),
        ("pruner", "successive_halving", "reduction_factor", 1, "must be ≥ 2, got 1."),
        ("pruner", "wilcoxon", "p_threshold", 2.0, "must be ≥ 0, ≤ 1, got 2.0."),
    ],
)
def test_an_option_out_of_bounds_is_told_by_its_key(
    part: Literal["sampler", "pruner"], name: str, option: str, value: Any, message: str
) -> None:
    (problem,) = problems_of_options(part, member(part, name, **{option: value}))
    assert problem.startswith(f"hydra.sweeper.{part}.{option}")
    assert message in problem


def test_what_only_optuna_knows_to_be_wrong_is_told_by_its_key() -> None:
    with pytest.raises(UserError, match=r"hydra\.sweeper\.sampler: QMCSampler refuses .*qmc_type"):
        make_sampler(member("sampler", "qmc", qmc_type="sobl"), SPACE)
    nested = {"_target_": "optuna.logging.os.system", "command": "touch executed"}
    with pytest.raises(UserError, match=r"hydra\.sweeper\.sampler: "):
        make_sampler(member("sampler", "nsgaii", crossover=nested), SPACE)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("n_trials", 0, " must be ≥ 1, got 0."),
        ("n_jobs", -1, " must be ≥ 1, got -1."),
        ("retries", -3, " must be ≥ 0, got -3."),
        ("max_failure_rate", float("nan"), " must be ≥ 0, ≤ 1, got nan."),
        ("heartbeat", float("inf"), " must be > 0 and finite, got inf."),
        ("heartbeat", float("nan"), " must be > 0 and finite, got nan."),
        ("timeout", -1.0, " must be > 0 and finite, got -1.0."),
        ("timeout", float("nan"), " must be > 0 and finite, got nan."),
        ("seeds", [1, -1], "[1] must be ≥ 0, ≤ "),
        ("seeds", [1, 1], " has 1 twice"),
    ],
)
def test_a_number_of_the_sweeper_out_of_bounds_is_told_by_its_key(
    option: str, value: Any, message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        check(options(**{option: value}))
    (problem,) = refused.value.problems
    assert problem.startswith(
        f"hydra.sweeper.{option}{message}".replace(f"{option}must", f"{option} must")
    )


def test_no_timeout_is_an_endless_one() -> None:
    check(options(timeout=float("inf")))
