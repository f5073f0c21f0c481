"""`hydra/sweeper=optuna`: Hydra's own sweeper, checked before its first trial."""

import functools
import inspect
from pathlib import Path

import pytest
import torch
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper
from optuna.distributions import FloatDistribution
from typing_extensions import override

from runwright import ObjectiveFactory, factory
from runwright.sweep import _optuna_sweeper
from sweep.conftest import LRS, Sweep
from toy_domain import SetBatch, SetDims, SquaredDistance

ADVICE = (
    "Hydra's Optuna sweeper has changed what runwright.sweep._optuna_sweeper uses of it. Adapt "
    "that one file, and OptunaSweeperCfg to the options that it takes."
)


class Enlarging(SquaredDistance):
    monitor, higher_is_better = "largest", {"loss": False, "largest": True}


@factory("set_error_to_enlarge")
class Enlarge(ObjectiveFactory[SetDims, SetBatch]):
    """Its largest error is the better the larger it is."""

    @override
    def build(self, dims: SetDims, device: torch.device) -> Enlarging:
        return Enlarging()


@pytest.fixture
def stock(sweep: Sweep) -> Sweep:
    return functools.partial(sweep, "hydra/sweeper=optuna", "hydra.sweeper.n_jobs=1")


def test_the_private_parts_of_hydras_sweeper_are_what_they_were() -> None:
    (override,) = OverridesParser.create().parse_overrides(["a=interval(0,1)"])
    found = _optuna_sweeper.distribution_of(override)
    assert isinstance(found, FloatDistribution), ADVICE
    options = [
        *("sampler", "direction", "storage", "study_name", "n_trials", "n_jobs"),
        *("max_failure_rate", "custom_search_space", "params"),
    ]
    assert list(inspect.signature(OptunaSweeper).parameters) == options, ADVICE
    sampler = {"_target_": "optuna.samplers.RandomSampler"}
    sweeper = OptunaSweeper(sampler, ["minimize"], None, None, 1, 1, 0.0, None, None)
    assert hasattr(sweeper.sweeper, "custom_search_space_extender"), ADVICE


def test_it_searches_in_the_direction_in_which_the_measure_is_better(stock: Sweep) -> None:
    better = ("objective=set_error_to_enlarge", "training.max_steps=1")
    assert stock("hydra.sweeper.n_trials=2", "dm.features=2,6", *better) == 0
    values = [
        yaml.safe_load(path.read_text())["value"] for path in Path("sweep").glob("*/result.json")
    ]
    found = yaml.safe_load(Path("sweep/optimization_results.yaml").read_text())
    assert found["best_value"] == max(values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("hydra.sweeper.direction=maximize", "what the run returns (val_loss): lower is better."),
        ("hydra.sweeper.n_trials=0", "hydra.sweeper.n_trials must be ≥ 1, got 0."),
        (
            "hydra.sweeper.sampler.n_startup_trials=-1",
            "hydra.sweeper.sampler.n_startup_trials must be ≥ 0, got -1.",
        ),
        (
            "hydra.sweeper.custom_search_space=os.system",
            "no function is registered under that name",
        ),
        ("dm.features=range(-1,3)", "dm.features must be ≥ 1, got -1"),
    ],
)
def test_what_must_fail_fails_before_the_first_trial(
    stock: Sweep, capsys: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    assert stock(LRS, arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not list(Path().glob("sweep/0"))
