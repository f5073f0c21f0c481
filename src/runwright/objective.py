"""Objectives: what is minimised, what is measured, and which measure counts."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic

from typing_extensions import TypeVar, override

from runwright.data import Batch
from runwright.dims import Dims
from runwright.errors import UserError
from runwright.factory import Settings, settings

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from runwright.device.distributed import World
    from runwright.predictions import TableFormat

D_contra = TypeVar("D_contra", bound=Dims, default=Any, contravariant=True)
B_contra = TypeVar("B_contra", bound=Batch, default=Any, contravariant=True)

_NO_TABLE: Final = (
    "{cls} does not define a table of predictions. Define `predict(model, batch)` in it."
)
_NO_MEASURES: Final = (
    "{cls} does not define the measures of a table of predictions (`measures_of`), from which "
    "confidence intervals come."
)


class Evaluation(ABC, Generic[B_contra]):
    """The measures of one pass over a split, accumulated on the device without syncing."""

    @abstractmethod
    def update(self, model: "nn.Module", batch: B_contra) -> None:
        """Add one batch. The model is in evaluation mode and gradients are off."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Every measure over all batches so far, by name, including `loss`."""

    def all_reduce(self, world: "World") -> None:
        """Add up the counts of several processes, each of which saw different batches.

        Raises:
            UserError: these measures cannot be added up.
        """
        refuse_several_processes(self, world)

    def gather_drawn(self, world: "World") -> None:  # optional
        """Exchange what only pictures need; called after `all_reduce`, where they are drawn."""

    def draw(self, folder: Path, split: str) -> None:  # optional
        """Write the pictures of these measures of a split, if there are any."""

    def write(self, folder: Path, split: str) -> None:  # optional
        """Write tables of these measures of a split, of each class say, if there are any."""

    @property
    def bootstrap_unit(self) -> str | None:
        """What is resampled for confidence intervals, if not examples: "perturbations"."""
        return None

    def bootstrap(self, num_runs: int, seed: int) -> "Mapping[str, NDArray[np.float64]]":
        """The measures of each bootstrap run, (num_runs,), where there is a unit to resample.

        Args:
            num_runs: how often to resample.
            seed: seeds the resampling.
        """
        del num_runs, seed
        return {}


def refuse_several_processes(measure: object, world: "World") -> None:
    """Say that what does not define `all_reduce` cannot be measured by several processes.

    Raises:
        UserError: there are several.
    """
    if world.size > 1:
        raise UserError(
            f"{type(measure).__name__} does not define all_reduce, so its measures cannot be "
            f"taken by {world.size} processes together. Train with one process, or define it."
        )


class Objective(ABC, Generic[B_contra]):
    """A loss and its measures, built for the Dims of the data.

    Attributes:
        monitor: the measure that decides which weights are best, unless the user names another.
        higher_is_better: every measure's name, and whether more of it is better.
    """

    monitor: str
    higher_is_better: Mapping[str, bool]

    @abstractmethod
    def losses(self, model: "nn.Module", batch: B_contra) -> "dict[str, torch.Tensor]":
        """The losses of one batch, each a tensor of shape (). `loss` is the one to minimise.

        The names are the same for every batch and in every process. NaN means that there is nothing
        to measure in a batch, and joins no mean; only `loss` must always be finite.
        """

    def evaluation(self) -> Evaluation[B_contra]:
        """A new pass over a split; by default it computes the mean of every loss."""
        return MeanLosses(self)

    proportions: Collection[str] = ()
    """The measures that are shares of the examples, of which there is a binomial interval."""

    def predict(self, model: "nn.Module", batch: B_contra) -> "dict[str, NDArray[Any]]":
        """The columns of the table of predictions, a row for each example.

        Returns:
            Arrays of shape (B,), or (B, D) for embeddings and the like.
        """
        del model, batch
        raise UserError(_NO_TABLE.format(cls=type(self).__name__))

    def measures_of(self, table: "Mapping[str, NDArray[Any]]") -> dict[str, float]:
        """The measures of a table of predictions; some of its rows may be there several times.

        Confidence intervals come from it. A measure that cannot be taken of these rows is NaN.

        Args:
            table: the columns that `predict` gave for all examples, of shape (N,) or (N, D).
        """
        del table
        raise UserError(_NO_MEASURES.format(cls=type(self).__name__))

    def check_offers(self, *, predictions: bool = False, measures: bool = False) -> None:
        """Check before a training that a stage after it will get what it asks for.

        Args:
            predictions: to write the predictions, in a table or in files of one's own.
            measures: the measures of a table of predictions.

        Raises:
            UserError: it is not defined.
        """
        cls = type(self)
        if measures and self.evaluation().bootstrap_unit is not None:
            measures = False  # it is not the rows of a table that are resampled
        has_table = cls.predict is not Objective.predict
        writes = has_table or cls.predictions is not Objective.predictions
        if (predictions and not writes) or (measures and not has_table):
            raise UserError(_NO_TABLE.format(cls=cls.__name__))
        if measures and cls.measures_of is Objective.measures_of:
            raise UserError(_NO_MEASURES.format(cls=cls.__name__))

    def predictions(
        self, folder: Path, split: str, *, table_format: "TableFormat" = "csv"
    ) -> "AbstractContextManager[Callable[[nn.Module, B_contra], None]]":
        """Where the predictions of a split go; by default a table of what `predict` returns.

        Args:
            folder: the folder to write to.
            split: the name of the split.
            table_format: the kind of file, where it is a table.

        Returns:
            A context. What it gives takes the model and one batch after the other; when it ends
            without an error, all is written.
        """
        return self._table(folder / f"predictions_{split}.{table_format}", table_format)

    @contextmanager
    def _table(
        self, path: Path, table_format: "TableFormat"
    ) -> "Generator[Callable[[nn.Module, B_contra], None]]":
        from runwright.predictions import table_of_predictions

        with table_of_predictions(path, table_format) as add:
            yield lambda model, batch: add(self.predict(model, batch))


class LossMeans:
    """The means of named losses over examples, each batch weighted by its size.

    Batches in which a loss is NaN do not count for it, but for `loss`, whose mean is then NaN.
    """

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}
        self._examples: dict[str, torch.Tensor | int] = {}

    def add(self, losses: "Mapping[str, torch.Tensor]", batch_size: int) -> None:
        """Take the losses of one batch in, without waiting for the device."""
        for name, loss in losses.items():
            # Sums in float64, where it exists, are the same in any order and number of processes.
            value, examples = loss.float() if loss.is_mps else loss.double(), batch_size
            if name != "loss":
                is_measured = ~value.isnan()
                value, examples = value.where(is_measured, 0), is_measured * examples
            self._sums[name] = self._sums.get(name, 0) + value * batch_size
            self._examples[name] = self._examples.get(name, 0) + examples

    def compute(self) -> dict[str, float]:
        """The means; NaN of what was NaN in every batch."""
        counts = {name: int(count) for name, count in self._examples.items()}
        return {
            name: value.item() / counts[name] if counts[name] else math.nan
            for name, value in self._sums.items()
        }

    def all_reduce(self, world: "World") -> None:
        """Add up what several processes took in."""
        if world.size == 1:
            return
        import torch

        # A process that had no batches does not know the names.
        gathered = world.all_gather(list(self._sums))
        names = list(dict.fromkeys(name for known in gathered for name in known))
        sums = torch.zeros(2, len(names), dtype=torch.float64, device=world.device)
        for index, name in enumerate(names):
            sums[0, index] += self._sums.get(name, 0)
            sums[1, index] += self._examples.get(name, 0)
        world.all_reduce([sums])
        self._sums = dict(zip(names, sums[0].unbind(), strict=True))
        self._examples = dict(zip(names, sums[1].unbind(), strict=True))


class MeanLosses(Evaluation[B_contra]):
    """The mean of every loss over the examples; see `LossMeans`."""

    def __init__(self, objective: Objective[B_contra]) -> None:
        self._objective = objective
        self._means = LossMeans()

    @override
    def update(self, model: "nn.Module", batch: B_contra) -> None:
        self._means.add(self._objective.losses(model, batch), len(batch))

    @override
    def compute(self) -> dict[str, float]:
        return self._means.compute()

    @override
    def all_reduce(self, world: "World") -> None:
        self._means.all_reduce(world)


@settings
class ObjectiveFactory(Settings, ABC, Generic[D_contra, B_contra], group="objective"):
    """Interface of the factories of objectives; the group `objective`."""

    writes: ClassVar[tuple[str, ...]] = ()
    """The names of the files that its measures and predictions write to a run directory, as regular
    expressions: they are a run's, so `overwrite=true` removes them."""

    def for_model(self, dims: D_contra) -> Dims:
        """The Dims that model and objective are built from: the data's, and what losses add.

        An objective whose losses need heads of the model names them here: it returns a copy,
        `attrs.evolve(dims, heads=…)`. By default nothing is added.

        Raises:
            UserError: a loss asks for what these data do not have.
        """
        return dims

    @abstractmethod
    def build(self, dims: D_contra, device: "torch.device") -> Objective[B_contra]:
        """Build the objective for data of these Dims, its tensors on `device`.

        Raises:
            UserError: the options do not fit the Dims.
        """
