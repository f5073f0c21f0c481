"""Measures of a model's outputs: one forward pass for the losses and all measures.

An `OutputObjective` has two steps, `outputs` and `losses_of`. A measure of your own is a `Measure`,
or a `WholeSplit` if it is not a sum over batches, as with correlations:

    class WithPearson(MyObjective):
        def measures(self) -> list[Measure]:
            return [*super().measures(), Pearson()]
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, final

from typing_extensions import TypeVar, override

from runwright.data import Batch
from runwright.objective import Evaluation, LossMeans, Objective, refuse_several_processes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from runwright.device.distributed import World

B = TypeVar("B", bound=Batch, default=Any)
O = TypeVar("O", default=Any)  # noqa: E741  # what a model returns


class Measure(ABC, Generic[B, O]):
    """A measure, or several, of one pass over a split."""

    @abstractmethod
    def update(self, outputs: O, batch: B) -> None:
        """Accumulate the outputs for a batch, without waiting for the device."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The measures over all batches so far, by name; NaN where there was nothing to measure."""

    def all_reduce(self, world: "World") -> None:
        """Combine what several processes measured, each on its own batches.

        Raises:
            UserError: the measure does not support several processes.
        """
        refuse_several_processes(self, world)

    def gather_drawn(self, world: "World") -> None:  # optional
        """Exchange what only pictures need; called after `all_reduce`, where they are drawn."""

    def draw(self, folder: Path, split: str) -> None:  # optional
        """Write pictures of the measures of a split, if there are any."""

    def write(self, folder: Path, split: str) -> None:  # optional
        """Write tables of the measures of a split, if there are any."""

    @property
    def bootstrap_unit(self) -> str | None:
        """What is resampled for confidence intervals, if not examples."""
        return None

    def bootstrap(self, num_runs: int, seed: int) -> "Mapping[str, NDArray[np.float64]]":
        """The measures of each bootstrap run; see `Evaluation.bootstrap`."""
        del num_runs, seed
        return {}


class WholeSplit(Measure[B, O]):
    """A measure of all examples at once, such as a correlation, which is not a sum over batches.

    It keeps the `columns` of every batch on the device. Several processes exchange them, in the
    order of the split, so the measure is the same as that of one process.
    """

    def __init__(self) -> None:
        self._kept: dict[str, list[torch.Tensor]] = {}

    @abstractmethod
    def columns(self, outputs: O, batch: B) -> "dict[str, torch.Tensor]":
        """What to keep of each example of a batch: tensors of shape (B, …) by name."""

    @abstractmethod
    def measure(self, columns: "dict[str, torch.Tensor]") -> dict[str, float]:
        """The measures, from the columns of all examples: tensors of shape (N, …), on the CPU."""

    @final
    @override
    def update(self, outputs: O, batch: B) -> None:
        for name, column in self.columns(outputs, batch).items():
            self._kept.setdefault(name, []).append(column.detach())

    @final
    @override
    def compute(self) -> dict[str, float]:
        return self.measure(self._joined())

    @final
    @override
    def all_reduce(self, world: "World") -> None:
        if world.size == 1:
            return
        # Shares may differ in length; a process without batches has no columns.
        shares = world.all_gather(self._joined())
        names = dict.fromkeys(name for share in shares for name in share)
        self._kept = {name: [share[name] for share in shares if name in share] for name in names}

    def _joined(self) -> "dict[str, torch.Tensor]":
        import torch

        return {name: torch.cat(parts).cpu() for name, parts in self._kept.items()}


class OutputObjective(Objective[B], Generic[B, O]):
    """An objective in two steps: the model's outputs for a batch, and the losses of these."""

    @abstractmethod
    def outputs(self, model: "nn.Module", batch: B) -> O:
        """The forward pass: what losses and measures are computed from."""

    @abstractmethod
    def losses_of(self, outputs: O, batch: B) -> "dict[str, torch.Tensor]":
        """The losses of one batch; see `Objective.losses`."""

    def measures(self) -> "Sequence[Measure[B, O]]":
        """New measures for a pass over a split; by default the means of the losses."""
        return [_MeansOfLosses(self.losses_of)]

    @final
    @override
    def losses(self, model: "nn.Module", batch: B) -> "dict[str, torch.Tensor]":
        return self.losses_of(self.outputs(model, batch), batch)

    @final
    @override
    def evaluation(self) -> Evaluation[B]:
        return _OutputEvaluation(self.outputs, self.measures())


class _MeansOfLosses(Measure[B, O]):
    def __init__(self, losses_of: "Callable[[O, B], dict[str, torch.Tensor]]") -> None:
        self._losses_of = losses_of
        self._means = LossMeans()

    @override
    def update(self, outputs: O, batch: B) -> None:
        self._means.add(self._losses_of(outputs, batch), len(batch))

    @override
    def compute(self) -> dict[str, float]:
        return self._means.compute()

    @override
    def all_reduce(self, world: "World") -> None:
        self._means.all_reduce(world)


class _OutputEvaluation(Evaluation[B], Generic[B, O]):
    """One forward pass per batch, and every measure of its outputs."""

    def __init__(
        self, outputs: "Callable[[nn.Module, B], O]", measures: "Sequence[Measure[B, O]]"
    ) -> None:
        self._outputs = outputs
        self._measures = measures

    @override
    def update(self, model: "nn.Module", batch: B) -> None:
        outputs = self._outputs(model, batch)
        for measure in self._measures:
            measure.update(outputs, batch)

    @override
    def compute(self) -> dict[str, float]:
        return {name: v for measure in self._measures for name, v in measure.compute().items()}

    @override
    def all_reduce(self, world: "World") -> None:
        for measure in self._measures:
            measure.all_reduce(world)

    @override
    def gather_drawn(self, world: "World") -> None:
        for measure in self._measures:
            measure.gather_drawn(world)

    @override
    def draw(self, folder: Path, split: str) -> None:
        for measure in self._measures:
            measure.draw(folder, split)

    @override
    def write(self, folder: Path, split: str) -> None:
        for measure in self._measures:
            measure.write(folder, split)

    @property
    @override
    def bootstrap_unit(self) -> str | None:
        units = (measure.bootstrap_unit for measure in self._measures)
        return next((unit for unit in units if unit is not None), None)

    @override
    def bootstrap(self, num_runs: int, seed: int) -> "Mapping[str, NDArray[np.float64]]":
        measures = self._measures
        return {n: v for one in measures for n, v in one.bootstrap(num_runs, seed).items()}
