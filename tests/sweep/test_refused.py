"""Sweeps that are bound to fail do so before the first trial, with everything that is wrong."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from runwright.factory import factory
from sweep.conftest import LRS, Sweep
from toy_domain import ToySets

BY_HAND_AND_WRONG = (
    "{opt.lt: 1}",
    "{opt.lr: 5, dm.features: 3}",
    "{opt.lr: high, dm.features: 2.5, opt.optimizer_cls: Adam}",
    "{opt.warmup: 0.2}",
)


@factory("sets_but_not_of_3")
class SetsButNotOf3(ToySets):
    """Sets whose vectors have any number of features except three."""

    @override
    def problems(self) -> Iterator[str]:
        if self.features == 3:
            yield "`features` must not be 3"


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (
            ["opt.lr=interval(0, 1)", "dm.features=range(-1, 3)"],
            ["opt.lr must be > 0, got 0", "dm.features must be ≥ 1, got -1", "Trial: opt.lr=0"],
        ),
        (
            ["opt.optimizer_cls=SGD,Adan"],
            ["torch.optim has no 'Adan'", "opt.optimizer_cls=Adan"],
        ),
        (
            [LRS, "hydra.sweeper.direction=maximize"],
            ["(val_loss): lower is better. Leave it out, or give minimize."],
        ),
        (
            [LRS, "training.monitor=val_loss,val_largest"],
            ["The trials return different measures (val_loss, val_largest), whose values cannot"],
        ),
        ([LRS, "hydra.sweeper.direction=minimise"], ["Did you mean 'minimize'?"]),
        ([], ["There is nothing to search, so all 20 trials would be the same"]),
        ([LRS, "opt.lr=interval(1e-4,1e-2)"], ["opt.lr is set 2 times, also as"]),
        ([LRS, "hydra/sweeper/pruner=wilcoxon"], ["give hydra.sweeper.seeds"]),
        (
            [LRS, "hydra/sweeper/sampler=motpe"],
            ["hydra.sweeper.sampler: ", "The 'motpe' sampler was removed in Optuna 4.0."],
        ),
        (
            [
                *(LRS, "dm.features=range(2,9,2)", "opt.optimizer_cls=SGD,Adan", "opt.warmup=0.1"),
                f"hydra.sweeper.enqueue=[{', '.join(BY_HAND_AND_WRONG)}]",
            ],
            [
                "enqueue[0].opt.lt: is not in the search space. Did you mean 'opt.lr'?",
                "enqueue[1].opt.lr: must be ≥ 0.0001, ≤ 0.1, got 5.",
                "enqueue[1].dm.features: must be 2 plus a multiple of 2, got 3.",
                "enqueue[2].opt.lr: must be a number, got high.",
                "enqueue[2].dm.features: must be an integer, got 2.5.",
                "enqueue[2].opt.optimizer_cls: must be one of: SGD, Adan; got Adam.",
                "enqueue[3].opt.warmup: is fixed for all trials, opt.warmup=0.1. Leave it out.",
            ],
        ),
        ([LRS, "hydra.sweeper.seeds=[1,2]", "seed=3"], ["gives every trial its seeds"]),
        (
            [LRS, "hydra.sweeper.measures=[val_largest]"],
            ["the pruner would use val_loss. Set training.monitor=val_largest"],
        ),
        (
            [LRS, "hydra/sweeper/pruner=none", "hydra.sweeper.measures=[val_losss,parameters]"],
            ["not known which way val_losss is better", "Did you mean 'val_loss'?"],
        ),
        (
            [LRS, "hydra.sweeper.measures=[val_loss,parameters]"],
            ["pruning takes a single measure"],
        ),
        ([LRS, "dm.featrues=1,2"], ["ToySets has no 'featrues'", "It has: features"]),
        ([LRS, "hydra.sweeper.storage=mysql://nowhere/x"], ["hydra.sweeper.storage=mysql"]),
    ],
)
def test_a_sweep_that_must_fail_fails_before_the_first_trial(
    sweep: Sweep, capsys: pytest.CaptureFixture[str], arguments: list[str], messages: list[str]
) -> None:
    assert sweep(*arguments) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    for message in messages:
        assert message in error
    assert not list(Path().glob("sweep/0"))


def test_what_was_queued_by_hand_is_composed_before_the_first_trial(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    features = ("dm=sets_but_not_of_3", "dm.features=range(2,5)")
    assert sweep(*features, "hydra.sweeper.enqueue=[{dm.features: 2},{dm.features: 3}]") == 2
    error = capsys.readouterr().err
    assert "dm.features must not be 3\n   Trial: dm.features=3 " in error
    assert " dm=sets_but_not_of_3 (" in error
    assert "(hydra.sweeper.enqueue[1])" in error
    assert not Path("sweep").exists()


def test_a_mistake_that_all_corners_make_is_told_once(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(LRS, "opt.lrr=interval(1e-4,1e-3)", "dm.features=range(2,5)") == 2
    assert capsys.readouterr().err.count("has no 'lrr'") == 1


@pytest.mark.parametrize(
    ("chosen", "package"), [("sampler=cmaes", "cmaes"), ("pruner=wilcoxon", "scipy")]
)
def test_what_optuna_would_miss_in_the_middle_of_a_sweep_is_missed_before_it(
    sweep: Sweep,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    chosen: str,
    package: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert sweep(LRS, f"hydra/sweeper/{chosen}", "hydra.sweeper.seeds=[1,2]") == 2
    assert f"needs the package {package}, which is not installed" in capsys.readouterr().err
    assert not Path("sweep").exists()


def test_a_sweep_started_by_several_processes_is_refused(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert sweep(LRS) == 2
    assert "Leave out torchrun" in capsys.readouterr().err
    assert not Path("sweep").exists()


def test_trials_of_several_processes_are_refused(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = ("hydra/launcher=runwright_slurm", "hydra.launcher.tasks_per_node=2")
    assert sweep(LRS, *tasks) == 2
    assert "hydra.launcher.tasks_per_node=2" in capsys.readouterr().err
    assert not Path("sweep").exists()
