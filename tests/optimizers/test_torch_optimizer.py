"""Optimisers are built as asked, and schedules have the shapes that they are named after."""

import inspect
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from runwright.errors import UserError
from runwright.factory import OptionError
from runwright.optimizers import OptimisationCfg, TorchOptimizer
from runwright.optimizers.interface import Schedule
from runwright.optimizers.schedules import ScheduleName
from runwright.training.optimizer_state import flatten_optimizer, restore_optimizer


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))


def course(total: int, **options: Any) -> list[float]:
    factor = TorchOptimizer(lr=1, **options).lr_factor(total, steps_per_epoch=5)
    return [factor(step) for step in range(total)]


def test_biases_and_norms_are_not_decayed_unless_asked() -> None:
    groups = TorchOptimizer(weight_decay=0.1).build(model()).param_groups
    decay = {p.ndim: g["weight_decay"] for g in groups for p in g["params"]}
    assert decay == {2: 0.1, 1: 0.0}
    (group,) = (
        TorchOptimizer(weight_decay=0.1, decay_bias_and_norm=True).build(model()).param_groups
    )
    assert group["weight_decay"] == 0.1
    assert len(group["params"]) == 6


def test_frozen_parameters_are_left_out() -> None:
    frozen = model()
    frozen[0].requires_grad_(requires_grad=False)  # pyright: ignore[reportIndexIssue]  # a Sequential
    (group,) = TorchOptimizer().build(frozen).param_groups
    assert len(group["params"]) == 4


@pytest.mark.parametrize("name", ["AdamW", "torch.optim.SGD", "Adafactor", "Rprop", "RMSprop"])
def test_an_optimiser_is_chosen_by_name(name: str) -> None:
    optimizer = TorchOptimizer(optimizer_cls=name).build(model())
    assert type(optimizer) is getattr(torch.optim, name.removeprefix("torch.optim."))


def test_its_earlier_name_is_the_same_class() -> None:
    assert OptimisationCfg is TorchOptimizer


def test_its_further_arguments_are_passed_on() -> None:
    cfg = TorchOptimizer(optimizer_kwargs={"betas": [0.8, 0.9], "amsgrad": True})
    (group,) = cfg.build(model()).param_groups
    assert group["betas"] == (0.8, 0.9)
    assert group["amsgrad"] is True


@pytest.mark.parametrize("name", ["Optimizer", "LBFGS", "lr_scheduler", "AdamWW", "os"])
def test_what_is_no_optimiser_for_a_plain_step_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="Allowed: .*AdamW"):
        TorchOptimizer(optimizer_cls=name).preflight()


def test_only_the_name_of_a_class_is_accepted() -> None:
    with pytest.raises(OptionError, match="must name a class of torch.optim"):
        TorchOptimizer(optimizer_cls="os.system")


def test_an_unknown_argument_of_the_optimiser_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="AdamW has no argument 'beta'. Did you mean 'betas'"):
        TorchOptimizer(optimizer_kwargs={"beta": [0.9, 0.95]}).preflight()


def refusal(cls: str, **given: Any) -> str:
    with pytest.raises(UserError) as caught:
        TorchOptimizer(optimizer_cls=cls, optimizer_kwargs=given).preflight()
    return str(caught.value)


def test_a_value_of_another_type_is_refused_with_the_usual_one() -> None:
    assert refusal("AdamW", betas=[0.9, 0.9, 0.9]) == (
        "opt.optimizer_kwargs.betas must be a list of 2 numbers, got [0.9, 0.9, 0.9]. The default "
        "of betas is [0.9, 0.999]."
    )
    assert "dampening must be a number, got 'x'" in refusal("SGD", dampening="x")
    assert "amsgrad must be true or false, got None" in refusal("Adam", amsgrad=None)
    assert "ns_steps must be an integer, got 0.5" in refusal("Muon", ns_steps=0.5)
    assert "eps must be a list of 2: a number or null, a number" in refusal("Adafactor", eps=1.0)


def test_a_value_that_fails_in_the_first_step_is_named_among_others() -> None:
    assert refusal("AdamW", eps=1e-8, betas=[2.0, 0.9]) == (
        "opt.optimizer_kwargs.betas=[2.0, 0.9]: torch.optim.AdamW does not accept it (Invalid beta "
        "parameter at index 0: 2.0). The default of betas is [0.9, 0.999]."
    )
    assert refusal("Rprop", etas=[0.5, 1e300]).startswith("opt.optimizer_kwargs.etas=[0.5, 1.0e+3")
    assert refusal("SGD", nesterov=True, momentum=0.9, dampening=0.5) == (
        "opt.optimizer_kwargs={nesterov: true, dampening: 0.5}: torch.optim.SGD does not accept it "
        "(Nesterov momentum requires a momentum and zero dampening). The default of nesterov is "
        "false. The default of dampening is 0."
    )
    both = refusal("AdamW", foreach=True, fused=True, maximize=True)
    assert both.startswith("opt.optimizer_kwargs={foreach: true, fused: true}: torch.optim.AdamW")
    several = refusal("AdamW", eps=-1.0, betas=[2.0, 0.9]).splitlines()
    assert [line.partition("=")[0].rpartition(".")[2] for line in several] == ["eps", "betas"]


def test_what_works_on_a_gpu_only_is_refused_where_there_is_none() -> None:
    cfg = TorchOptimizer(optimizer_cls="NAdam", optimizer_kwargs={"capturable": True})
    cfg.preflight()  # it may be submitted from a machine without one
    for check in (lambda: cfg.check_on(torch.device("cpu")), lambda: cfg.build(model())):
        with pytest.raises(
            UserError, match=r"optimizer_kwargs\.capturable=true: .* does not accept"
        ):
            check()


WRONG = (None, "x", True, -1.0, 1e300, [0.9, 0.9, 0.9], ["a", "b"], [2.0, 2.0])


def problem(cfg: TorchOptimizer) -> str | None:
    try:
        cfg.preflight()
        cfg.check_on(torch.device("cpu"))
    except UserError as error:
        return str(error)
    return None


def arguments() -> Iterator[tuple[str, str]]:
    for name, cls in vars(torch.optim).items():
        if isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer):
            if name in ("Optimizer", "LBFGS", "SparseAdam"):
                continue
            for key in inspect.signature(cls).parameters:
                if key not in ("params", "lr", "weight_decay", "differentiable"):
                    yield name, key


@pytest.mark.parametrize(("name", "key"), list(arguments()))
def test_what_passes_the_preflight_does_not_fail_in_a_step(name: str, key: str) -> None:
    refused = 0
    for value in WRONG:
        cfg = TorchOptimizer(optimizer_cls=name, optimizer_kwargs={key: value})
        if (said := problem(cfg)) is not None:
            assert f"opt.optimizer_kwargs.{key}" in said
            refused += 1
            continue
        net = nn.Linear(3, 3, bias=name != "Muon")
        optimizer = cfg.build(net)  # pytest makes errors of warnings
        for _ in range(3):
            net(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
        assert bool(net.weight.isfinite().all())
    assert refused >= 4


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


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"amsgrad": "false"}, "amsgrad must be true or false, got 'false'"),
        ({"fused": "yes please"}, "fused must be true or false or null, got 'yes please'"),
        ({"differentiable": True}, "AdamW has no argument 'differentiable'"),
    ],
)
def test_a_switch_of_the_optimiser_is_true_or_false(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        TorchOptimizer(optimizer_kwargs=given).preflight()
    TorchOptimizer(optimizer_kwargs={"amsgrad": True, "foreach": None}).preflight()


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
    with pytest.raises(UserError, match="opt.warmup=200, 200 steps, is longer"):
        course(100, schedule="cosine", warmup=200)
    with pytest.raises(
        UserError,
        match="opt.warmup_epochs=30, 150 steps, is longer",
    ):
        course(100, schedule="cosine", warmup_epochs=30)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"schedule": "cosine", "warmup": 5, "warmup_epochs": 1.0}, "`warmup` must be 0 with `wa"),
        ({"warmup_epochs": 1.0}, "`warmup_epochs` must be null with `schedule`=one_cycle, which"),
        ({"schedule": "step"}, "`milestones` must say when with `schedule`=step"),
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


@pytest.mark.parametrize("name", ["AdamW", "SGD", "Adagrad", "NAdam", "ASGD", "Adafactor"])
def test_an_optimiser_goes_on_from_its_flattened_state(name: str) -> None:
    options: dict[str, Any] = {"momentum": 0.9} if name == "SGD" else {}
    cfg = TorchOptimizer(optimizer_cls=name, optimizer_kwargs=options, weight_decay=0.1, lr=0.1)

    def step(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        net(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    torch.manual_seed(0)
    one = model()
    first = cfg.build(one)
    step(one, first)
    two = model()
    two.load_state_dict(one.state_dict())
    second = cfg.build(two)
    tensors, plain = flatten_optimizer(first, one)
    restore_optimizer(second, two, {name: value.clone() for name, value in tensors.items()}, plain)
    for _ in range(3):
        step(one, first)
        step(two, second)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
def test_an_end_that_the_schedule_does_not_know_is_refused(schedule: ScheduleName) -> None:
    with pytest.raises(OptionError, match="final_lr_ratio must be 0 with schedule"):
        TorchOptimizer(schedule=schedule, final_lr_ratio=0.1)
