"""Objectives and a model with losses that are not always there; run, it is a `main.py` of them."""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from runwright import ModelFactory, Objective, ObjectiveFactory, app, factory, option
from toy_domain import SetBatch, SetDims, SquaredDistance

Losses = dict[str, Tensor]


def rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


class Odd(SquaredDistance):
    """Changes the losses of the batches that it is given, counted from 1."""

    def __init__(self, change: Callable[[Losses, int], Losses]) -> None:
        self._change = change
        self._count = {True: 0, False: 0}

    def losses(self, model: nn.Module, batch: SetBatch) -> Losses:
        self._count[model.training] += 1
        return self._change(super().losses(model, batch), self._count[model.training])


def _sparse(losses: Losses, number: int) -> Losses:
    seldom = torch.tensor(float(number)) if (number + rank()) % 4 == 1 else torch.tensor(math.nan)
    return {**losses, "seldom": seldom, "never": torch.tensor(math.nan)}


def _in_another_order(losses: Losses, number: int) -> Losses:
    ranked = {**losses, "rank": torch.tensor(float(rank()))}
    return ranked if rank() == 0 else dict(reversed(ranked.items()))


def _as_a_number(losses: Any, number: int) -> Any:
    return {**losses, "largest": losses["largest"].item() + number}


def _without_names(losses: Any, number: int) -> Any:
    return losses["loss"]


CHANGES: dict[str, Callable[[Losses, int], Losses]] = {
    "sparse": _sparse,
    "in_another_order": _in_another_order,
    "later": lambda losses, number: losses if number < 3 else {**losses, "more": losses["loss"]},
    "by_rank": lambda losses, _: losses if rank() == 0 else {"loss": losses["loss"]},
    "nameless": lambda losses, _: {"largest": losses["largest"]},
    "a_number": _as_a_number,
    "without_names": _without_names,
    "a_vector": lambda losses, _: {**losses, "largest": losses["largest"].repeat(3)},
    "nan": lambda losses, number: {
        **losses,
        "loss": losses["loss"] * (1 if number < 3 else math.nan),
    },
}


@factory("odd_losses")
class OddLosses(ObjectiveFactory[SetDims, SetBatch]):
    """Mean squared error between sets, and something odd."""

    what: str = option(default="sparse", doc="what is odd", choices=list(CHANGES))

    def build(self, dims: SetDims, device: torch.device) -> Objective[SetBatch]:
        return Odd(CHANGES[self.what])


class TwoHeads(nn.Module):
    """The second head is used in some batches only, or in none."""

    def __init__(self, features: int, every: int) -> None:
        super().__init__()
        self.used, self.spare = nn.Linear(features, features), nn.Linear(features, features)
        self._every, self._count = every, 0

    def forward(self, vectors: Tensor) -> Tensor:
        self._count += self.training
        uses = self._every > 0 and self._count % self._every == 1
        return self.used(vectors) + (self.spare(vectors) if uses else 0)


@factory("two_heads")
class TwoHeadsFactory(ModelFactory[SetDims]):
    """Two linear heads, of which the second is not always used."""

    every: int = option(default=0, ge=0, doc="in which batches it is; 0 is none")

    def build(self, dims: SetDims) -> nn.Module:
        return TwoHeads(dims.features, self.every)


if __name__ == "__main__":
    app.main(conf=None)
