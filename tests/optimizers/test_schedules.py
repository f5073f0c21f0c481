"""Schedules have the shapes that they are named after."""

import math
from typing import Any

import pytest
import torch

from optimizers.test_torch_optimizer import model
from runwright.errors import UserError
from runwright.factory import OptionError
from runwright.optimizers import TorchOptimizer
from runwright.optimizers.optimizer_factory import Schedule
from runwright.optimizers.schedules import ScheduleName


def course(total: int, **options: Any) -> list[float]:
    factor = TorchOptimizer(lr=1, **options).lr_factor(total, steps_per_epoch=5)
    return [factor(step) for step in range(total)]


@pytest.mark.parametrize("total", [1, 2, 3, 137])
def test_the_one_cycle_is_torchs(total: int) -> None:
    optimizer = torch.optim.SGD(model().parameters(), lr=1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1, total_steps=total, cycle_momentum=False
    )
    expected: list[float] = []
    for _ in range(total):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert course(total, schedule="one_cycle") == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("total", [1, 2, 3, 4, 10])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear", "one_cycle"])
def test_every_schedule_works_for_very_short_trainings(schedule: ScheduleName, total: int) -> None:
    assert all(0 <= factor <= 1 for factor in course(total, schedule=schedule))


def test_cosine_and_linear_fall_from_the_peak_to_the_final_ratio() -> None:
    for schedule in ("cosine", "linear"):
        values = course(101, schedule=schedule, final_lr_ratio=0.1)
        assert values[0] == 1
        assert values == sorted(values, reverse=True)
        assert 0.1 < values[-1] < 0.11
    assert course(100, schedule="linear")[50] == pytest.approx(0.5)
    assert course(100, schedule="cosine")[25] == pytest.approx(0.8535534)


@pytest.mark.parametrize("given", [{"warmup": 10}, {"warmup": 0.1}, {"warmup_epochs": 2}])
def test_the_warm_up_is_in_steps_or_a_share_or_epochs(given: dict[str, float]) -> None:
    values = course(100, schedule="constant", **given)
    assert values[:11] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1])
    assert set(values[10:]) == {1.0}


def test_a_warm_up_longer_than_the_training_is_refused() -> None:
    with pytest.raises(
        UserError, match="opt.warmup=200 is 200 steps, but the whole training has only 100"
    ):
        course(100, schedule="cosine", warmup=200)
    with pytest.raises(
        UserError,
        match="opt.warmup_epochs=30 is 150 steps, but the whole",
    ):
        course(100, schedule="cosine", warmup_epochs=30)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"schedule": "cosine", "warmup": 5, "warmup_epochs": 1.0}, "`warmup` must be 0 with `wa"),
        ({"warmup_epochs": 1.0}, "`warmup_epochs` must be null with `schedule`=one_cycle, which"),
        ({"schedule": "step"}, "`milestones` must not be empty with `schedule`=step"),
        ({"milestones": [10]}, "`milestones` must be [] with `schedule`=one_cycle, which does not"),
        ({"schedule": "step", "milestones": [1.5]}, "`milestones` as fractions must be < 1"),
        ({"schedule": "step", "milestones": [5], "patience": 3}, "`patience` must be 10 with"),
        ({"schedule": "cosine", "gamma": 0.5}, "`gamma` must be 0.1 with `schedule`=cosine"),
        ({"schedule": "plateau", "gamma": 2.0}, "`gamma` must be > 0, < 1, got 2.0"),
    ],
)
def test_options_of_a_schedule_that_contradict_each_other_are_refused(
    given: dict[str, Any], said: str
) -> None:
    with pytest.raises(OptionError) as caught:
        TorchOptimizer(**given)
    assert said.replace("`", "") in str(caught.value).replace("`", "")


def test_steps_are_counted_or_shares() -> None:
    for milestones in ([4, 6], [6, 4], [0.4, 0.6], [4, 0.6]):
        values = course(10, schedule="step", milestones=milestones, gamma=0.5)
        assert values == [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]
    warm = course(10, schedule="step", milestones=[4], warmup=2)
    assert warm[:5] == pytest.approx([0.5, 1, 1, 1, 0.1])


def plateau(**options: Any) -> tuple[Schedule, torch.optim.Optimizer]:
    cfg = TorchOptimizer(lr=1, schedule="plateau", patience=2, gamma=0.5, **options)
    optimizer = cfg.build(model())
    return cfg.build_schedule({"": optimizer}, 100, 10), optimizer


def test_a_plateau_is_as_many_measurements_without_a_new_best_as_asked() -> None:
    schedule, optimizer = plateau(final_lr_ratio=0.2)
    lrs: list[float] = []
    for step, value in enumerate([3.0, 2.0, 2.0, math.nan, 1.0, 1.5, 1.5, 1.5, 1.5, 1.0, 1.0]):
        schedule.set_lr(step)
        lrs.append(optimizer.param_groups[0]["lr"])
        schedule.measured("val_loss", value, higher_is_better=False)
    assert lrs == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2]


def test_a_plateau_of_what_should_rise_begins_anew_with_another_measure() -> None:
    schedule, _ = plateau()
    for value in (0.1, 0.2, 0.3, 0.2):
        schedule.measured("val_accuracy", value, higher_is_better=True)
    state = schedule.state()
    assert (state["best"], state["failed"], state["reduced"]) == (0.3, 1, 1)
    schedule.measured("val_loss", 9.0, higher_is_better=False)
    assert (schedule.state()["best"], schedule.state()["failed"]) == (9.0, 0)


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
def test_an_end_that_the_schedule_does_not_know_is_refused(schedule: ScheduleName) -> None:
    with pytest.raises(OptionError, match="final_lr_ratio must be 0 with schedule"):
        TorchOptimizer(schedule=schedule, final_lr_ratio=0.1)
