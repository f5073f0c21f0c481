"""An optimiser of torch is built as asked, and what it does not accept is refused."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from runwright.errors import UserError
from runwright.factory import OptionError
from runwright.optimizers import OptimisationCfg, TorchOptimizer


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))


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
    with pytest.raises(OptionError, match="must name a class in torch.optim"):
        TorchOptimizer(optimizer_cls="os.system")


def test_an_unknown_argument_of_the_optimiser_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="AdamW has no argument 'beta'. Did you mean 'betas'"):
        TorchOptimizer(optimizer_kwargs={"beta": [0.9, 0.95]}).preflight()
    with pytest.raises(
        UserError, match=r"With 'momentum': opt\.optimizer_cls=Muon\|RMSprop\|SGD\."
    ):
        TorchOptimizer(optimizer_kwargs={"momentum": 0.9}).preflight()


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
    assert "amsgrad must be true or false, got null" in refusal("Adam", amsgrad=None)
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
