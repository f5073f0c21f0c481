"""The losses of the training steps, read from the device as rarely as possible."""

import math
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, cast

import torch
from torch import Tensor

from runwright.device.distributed import World
from runwright.errors import UserError

_ALONE: Final = World()

_ALWAYS: Final = (
    "An objective gives the same losses for every batch, in every process; what cannot be measured "
    "in one is NaN there, which joins no mean."
)


class LossNames:
    """The names of an objective's losses, the same for every batch and in every process."""

    def __init__(self, world: World = _ALONE, *, minimised: str = "loss") -> None:
        """Learn them from the first batch, in which the one that is minimised must be."""
        self._world = world
        self._minimised = minimised
        self._order: tuple[str, ...] = ()
        self._names: AbstractSet[str] = frozenset()

    def check(self, losses: Mapping[str, Tensor], step: int) -> None:
        """Make sure of the losses of one batch, in the step of this number, from 0 on.

        Raises:
            UserError: they are no dictionary, there is none to minimise, one is not a single
                number, or the names differ from those of the first batch or of another process.
        """
        given = cast("object", losses)  # Python says nothing of types
        if not isinstance(given, Mapping):
            raise UserError(
                f"The objective's losses are a {type(given).__name__}. They must be a dictionary "
                f"of tensors by name, {{'{self._minimised}': …}}."
            )
        if losses.keys() != self._names:
            self._learn(losses, step)

    def detached(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses without their graph, in the order of the main process."""
        return {name: losses[name].detach() for name in self._order}

    def _learn(self, losses: Mapping[str, Tensor], step: int) -> None:
        if self._names:
            raise UserError(
                f"The losses of a batch in step {step + 1} are {_listed(losses)}; in the first "
                f"step they were {_listed(self._order)}. {_ALWAYS}"
            )
        names = self._world.all_gather(list(losses))
        for rank, others in enumerate(names):
            if set(others) != set(names[0]):
                raise UserError(
                    f"The losses of the first batch are {_listed(others)} in process {rank} and "
                    f"{_listed(names[0])} in process 0. {_ALWAYS}"
                )
        if self._minimised not in losses:
            raise UserError(
                f"The objective's losses are {_listed(losses)}. One must be called "
                f"`{self._minimised}`: it is what is minimised."
            )
        for name, value in losses.items():
            # A number is easily taken out of its tensor.
            shape = getattr(value, "shape", None)
            if shape != ():
                found = type(value).__name__ if shape is None else f"of shape {tuple(shape)}"
                raise UserError(
                    f"The objective's loss `{name}` is {found}. It must be a tensor of a single "
                    "number, of shape (): the mean over the batch, say, and without .item()."
                )
        self._order, self._names = tuple(names[0]), frozenset(losses)


def _listed(names: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


class LossHistory:
    """The losses since they were last recorded, kept on the device until they are read."""

    def __init__(self, world: World = _ALONE) -> None:
        self._world = world
        self._read: dict[str, list[float]] = {}
        self._on_device: list[dict[str, Tensor]] = []
        self._last_mean = math.nan

    def add(self, losses: list[dict[str, Tensor]]) -> None:
        """Note the losses of some batches, without waiting for the device."""
        self._on_device += losses

    def read(self) -> dict[str, list[float]]:
        """Every loss since `means` was last called, in order, averaged over the processes.

        Of a loss beside `loss` that is the mean over those in which it is not NaN. Waits for the
        device, and for the other processes.
        """
        if self._on_device:
            for name in self._on_device[0]:
                stacked = torch.stack([losses[name] for losses in self._on_device]).float()
                if self._world.size > 1:
                    stacked = self._mean_over_processes(stacked, counts_nan=name == "loss")
                values = cast("list[float]", stacked.tolist())
                self._read.setdefault(name, []).extend(values)
            self._on_device = []
        return self._read

    def means(self) -> dict[str, float]:
        """The mean of every loss since the last call; none of those that were NaN throughout."""
        measured = {
            name: [value for value in values if not math.isnan(value)]
            for name, values in self.read().items()
        }
        means = {name: sum(values) / len(values) for name, values in measured.items() if values}
        self._read = {}
        self._last_mean = means["loss"]
        return means

    def recent_mean(self) -> float:
        """The mean of `loss` over the steps not yet recorded, or the last recorded one."""
        values = self.read().get("loss")
        return sum(values) / len(values) if values else self._last_mean

    def restore(self, losses: dict[str, list[float]]) -> None:
        """Continue from what `read` returned."""
        self._read = dict(losses)

    def _mean_over_processes(self, values: Tensor, *, counts_nan: bool) -> Tensor:
        is_measured = torch.ones_like(values) if counts_nan else (~values.isnan()).float()
        sums = torch.stack([values.where(is_measured > 0, 0), is_measured])
        self._world.all_reduce([sums])
        return sums[0] / sums[1]  # 0/0 is NaN: it was measured nowhere
