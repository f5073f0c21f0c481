"""What is private of Hydra's own Optuna sweeper is still there, and does what it did."""

# pyright: reportPrivateUsage=false, reportMissingTypeStubs=false

import importlib
import inspect

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra_plugins.hydra_optuna_sweeper import _impl, config
from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import NSGAIIISampler, NSGAIISampler

from runwright.sweep._optuna_sweeper import (
    REMOVED_SAMPLER,
    SAMPLER_TARGETS,
    distribution_of,
    extend_search_space,
)

ADVICE = (
    "Hydra's Optuna sweeper has changed what runwright.sweep._optuna_sweeper uses of it. Read what "
    "has changed in its source, adapt that one file, and then this test."
)


@pytest.mark.parametrize(
    ("values", "distribution"),
    [
        ("a,1,null", CategoricalDistribution(["a", 1, "null"])),
        ("range(1,9,2)", IntDistribution(1, 7, step=2)),
        ("interval(0.1,1)", FloatDistribution(0.1, 1.0)),
        ("tag(log,interval(0.1,1))", FloatDistribution(0.1, 1.0, log=True)),
        ("tag(log,int(interval(1,9)))", IntDistribution(1, 9, log=True)),
        ("1", "1"),
    ],
)
def test_an_override_is_sampled_from_what_it_says(
    values: str, distribution: BaseDistribution | str
) -> None:
    parameters = inspect.signature(_impl.create_optuna_distribution_from_override).parameters
    assert [*parameters] == ["override"], ADVICE
    override = OverridesParser.create().parse_override(f"x={values}")
    assert distribution_of(override) == distribution, ADVICE


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_samplers_that_its_configurations_name_are_made_by_functions() -> None:
    made = [_impl.create_nsgaii_sampler(), _impl.create_nsgaiii_sampler()]
    assert [type(one) for one in made] == [NSGAIISampler, NSGAIIISampler], ADVICE
    for target in (*SAMPLER_TARGETS, REMOVED_SAMPLER):
        module, _, name = target.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name)), ADVICE
    with pytest.raises(ValueError, match="motpe"):
        config.raise_motpe_removed()


def test_a_function_is_asked_for_further_values_of_every_trial() -> None:
    sampler = {"_target_": "optuna.samplers.RandomSampler"}
    sweeper = OptunaSweeper(sampler, "minimize", None, None, 1, 1, 0.0, None, None)
    assert sweeper.sweeper.custom_search_space_extender is None, ADVICE
    extend_search_space(sweeper, print)
    assert sweeper.sweeper.custom_search_space_extender is print, ADVICE
