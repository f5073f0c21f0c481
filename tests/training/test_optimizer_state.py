"""The state of an optimiser is flattened and restored."""

from typing import Any

import pytest
import torch
from torch import nn

from optimizers.test_torch_optimizer import model
from runwright.optimizers import TorchOptimizer
from runwright.training.optimizer_state import flatten_optimizer, restore_optimizer


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
