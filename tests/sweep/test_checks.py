"""What a study is asked to continue with, and what it had before."""

import optuna
import pytest

from runwright.errors import ConfigError
from runwright.sweep.checks import check, check_study
from runwright.sweep.space import SearchSpace
from runwright.sweep.sweeper_cfg import SweeperCfg

LRS = "opt.lr=tag(log, interval(1e-4, 1e-1))"


def a_study_of(*arguments: str) -> optuna.Study:
    """A study with one trial from this space."""
    space = SearchSpace.parse({}, {}, arguments)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    check_study(study, space, SweeperCfg())
    trial = study.ask()
    space.suggest(trial)
    study.tell(trial, 0.0)
    return study


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        ("opt.lr=interval(0.1,1)", "opt.lr=0.1,0.2", r"now it is choice\(0.1, 0.2\)"),
        (
            "a=interval(1,9)",
            "a=range(1,9)",
            r"from interval\(1.0, 9.0\), .* now it is range\(1, 9\)",
        ),
        (LRS, "opt.lr=interval(0.1,1)", r"sampled it from tag\(log, interval\(0.0001, 0.1\)\)"),
        (
            "a=range(1,9)",
            "a=tag(log,int(interval(1,9)))",
            r"now it is tag\(log, int\(interval\(1, 9\)\)\)",
        ),
        ("a=1,2", "a=2,1", r"now it is choice\(2, 1\)"),
        ("a=true,false", "a=true,null", r"now it is choice\(true, null\)"),
    ],
)
def test_another_way_to_sample_an_option_is_refused(before: str, now: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_study(a_study_of(before), SearchSpace.parse({}, {}, [now]), SweeperCfg())


def test_values_of_another_kind_are_refused() -> None:
    study, space = a_study_of(LRS), SearchSpace.parse({}, {}, [LRS])
    options = SweeperCfg(seeds=[1], measures=["val_loss"])
    with pytest.raises(ConfigError) as refused:
        check_study(study, space, options)
    first, second = refused.value.problems
    assert first.startswith("hydra.sweeper.measures=[val_loss], but the trials of this study were")
    assert second.startswith("hydra.sweeper.seeds=[1], but the trials of this study were run with")


@pytest.mark.parametrize(
    "now", [LRS, "opt.lr=tag(log, interval(1e-5, 1))", "opt.lr=0.1", "opt.warmup=1,2"]
)
def test_a_wider_range_and_other_options_are_taken(
    now: str, caplog: pytest.LogCaptureFixture
) -> None:
    study = a_study_of(LRS)
    space = SearchSpace.parse({}, {}, [now])
    check_study(study, space, SweeperCfg())
    space.suggest(study.ask())
    assert "were run with" not in caplog.text


def test_it_is_said_that_the_trials_before_had_other_values(
    caplog: pytest.LogCaptureFixture,
) -> None:
    study = a_study_of(LRS, "training.epochs=2")
    space = SearchSpace.parse({}, {}, [LRS, "training.epochs=3", "++model.hidden_dim=5"])
    for _ in range(2):
        caplog.clear()
        check_study(study, space, SweeperCfg())
        first, second = (record.getMessage() for record in caplog.records)
        assert first == (
            "++model.hidden_dim=5: earlier trials of this study were run with the default."
        )
        assert second == ("training.epochs=3: earlier trials of this study were run with 2.")


@pytest.mark.parametrize("heartbeat", [0.0, -1.0, 1e300, float("inf"), float("nan")])
def test_a_heartbeat_that_nothing_can_wait_for_is_refused(heartbeat: float) -> None:
    sampler = {"_target_": "optuna.samplers.RandomSampler"}
    pruner = {"_target_": "optuna.pruners.NopPruner"}
    check(SweeperCfg(sampler=sampler, pruner=pruner))
    with pytest.raises(ConfigError, match=r"^hydra\.sweeper\.heartbeat must be .*, got "):
        check(SweeperCfg(sampler=sampler, pruner=pruner, heartbeat=heartbeat))
