"""The moving average of a model's weights is a model that can be measured."""

import torch
from torch import nn

from runwright.training.ema import MovingAverage


def test_weights_are_averaged_and_running_statistics_are_copied() -> None:
    linear = nn.Linear(3, 2)
    model = nn.Sequential(linear, nn.BatchNorm1d(2))
    average = MovingAverage(model, decay=0.75)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        model(torch.randn(8, 3, generator=torch.Generator().manual_seed(0)))
        linear.weight.add_(1)
    average.update(model)
    averaged = average.model.state_dict()
    torch.testing.assert_close(averaged["0.weight"], start["0.weight"] + 0.25)
    for name, buffer in model.named_buffers():
        assert not torch.equal(buffer, start[name])
        assert torch.equal(averaged[name], buffer)
