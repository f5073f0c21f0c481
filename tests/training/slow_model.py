"""A model that takes its time in every forward pass, and may end in other ways than well."""

import os
import signal
import time
from typing import Literal

from torch import Tensor, nn

from runwright import ModelFactory, factory, option
from toy_domain import SetDims


class Slow(nn.Module):
    def __init__(self, features: int, options: "SlowFactory") -> None:
        super().__init__()
        self.layer = nn.Linear(features, features)
        self.options = options

    def forward(self, vectors: Tensor) -> Tensor:
        time.sleep(self.options.training if self.training else self.options.evaluation)
        if self.options.fails_by == "error":
            raise ValueError("an error of the model")
        if self.options.fails_by == "Ctrl-C":
            os.kill(os.getpid(), signal.SIGINT)
        return self.layer(vectors)


@factory("slow_layer")
class SlowFactory(ModelFactory[SetDims]):
    """One layer."""

    training: float = option(default=0.0, ge=0, doc="seconds that it takes in training")
    evaluation: float = option(default=0.0, ge=0, doc="seconds that it takes in evaluation")
    fails_by: Literal["error", "Ctrl-C"] | None = option(default=None, doc="how it fails")

    def build(self, dims: SetDims) -> nn.Module:
        return Slow(dims.features, self)
