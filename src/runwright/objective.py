"""Objectives: what is minimised, what is measured, and which measure counts."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from typing_extensions import TypeVar, override

from runwright.data import Batch
from runwright.dims import Dims
from runwright.errors import UserError
from runwright.factory import Settings, settings

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from runwright.distributed import World
    from runwright.predictions import TableFormat

D_contra = TypeVar("D_contra", bound=Dims, default=Any, contravariant=True)
B_contra = TypeVar("B_contra", bound=Batch, default=Any, contravariant=True)


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
        if world.size > 1:
            raise UserError(
                f"{type(self).__name__} does not define all_reduce, so its measures cannot be "
                f"computed by {world.size} processes together. Train with one, or define it."
            )

    def draw(self, folder: Path, split: str) -> None:  # optional
        """Write the pictures of these measures of a split, if there are any."""


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
        """The losses of one batch, each a tensor of shape (). `loss` is the one to minimise."""

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
        raise UserError(f"{type(self).__name__} does not define a table of predictions.")

    def measures_of(self, table: "Mapping[str, NDArray[Any]]") -> dict[str, float]:
        """The measures of a table of predictions; some of its rows may be there several times.

        Confidence intervals come from it. A measure that cannot be taken of these rows is NaN.

        Args:
            table: the columns that `predict` gave for all examples, of shape (N,) or (N, D).
        """
        del table
        raise UserError(
            f"{type(self).__name__} does not define the measures of a table of predictions "
            "(`measures_of`), from which confidence intervals come."
        )

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


class MeanLosses(Evaluation[B_contra]):
    """The mean of every loss over the examples, each batch weighted by its size."""

    def __init__(self, objective: Objective[B_contra]) -> None:
        self._objective = objective
        self._sums: dict[str, torch.Tensor] = {}
        self._examples: torch.Tensor | int = 0

    @override
    def update(self, model: "nn.Module", batch: B_contra) -> None:
        for name, value in self._objective.losses(model, batch).items():
            self._sums[name] = self._sums.get(name, 0) + value.float() * len(batch)
        self._examples += len(batch)

    @override
    def compute(self) -> dict[str, float]:
        return {name: value.item() / int(self._examples) for name, value in self._sums.items()}

    @override
    def all_reduce(self, world: "World") -> None:
        if world.size == 1:
            return
        import torch

        # A process that had no batches does not know the names.
        names = next(names for names in world.all_gather(list(self._sums)) if names)
        sums = torch.zeros(len(names) + 1, dtype=torch.float64, device=world.device)
        for index, name in enumerate(names):
            sums[index] += self._sums.get(name, 0)
        sums[-1] += self._examples
        world.all_reduce([sums])
        self._sums = dict(zip(names, sums[:-1].unbind(), strict=True))
        self._examples = sums[-1]


@settings
class ObjectiveFactory(Settings, ABC, Generic[D_contra, B_contra], group="objective"):
    """Interface of the factories of objectives; the group `objective`."""

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
