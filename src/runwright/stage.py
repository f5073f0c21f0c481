"""Stages: what a run does, i.e. train, or do something with what was trained."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import attrs

from runwright.data import Batch, Data, Split
from runwright.errors import UserError
from runwright.factory import Settings, settings

if TYPE_CHECKING:
    from torch import nn

    from runwright.device.runtime import Runtime
    from runwright.objective import Objective

B = TypeVar("B", bound=Batch)


@attrs.frozen(kw_only=True)
class Trained(Generic[B]):
    """What was trained, ready to be measured or applied.

    Attributes:
        config: the options of the whole run, a `Config`.
        draws: whether to draw pictures.
        runtime: the device, the seed, the directory to write to, and that of the training.
        data: the data; `data.val` is as the training validated it.
        validation: all validation splits, as the training validated them, by name.
        model_name: what the model was chosen by in the training.
        model: the model with its best weights, on the device, in evaluation mode.
        objective: the objective.
        weights: the file of the weights.
        digest: of what is in that file; None if it does not say.
        monitor: the name of the measure that a run returns, without that of the split.
        monitored_split: the validation split that the training monitors.
        applying: makes the context in which to apply the model: without gradients, and in the
            precision of the run.
    """

    config: Settings
    draws: bool
    runtime: "Runtime"
    data: Data[Any, B]
    validation: Mapping[str, Split[B]]
    model_name: str
    model: "nn.Module"
    objective: "Objective[B]"
    weights: Path
    digest: str | None
    monitor: str
    monitored_split: str
    applying: Callable[[], AbstractContextManager[object]]

    def batches(self, split: Split[B]) -> Iterator[B]:
        """The batches of a split in order, as the training validates it.

        What is drawn at random for a batch, by dropout for example, depends on the seed and the
        number of the batch alone, so a stage measures what the training did.
        """
        from runwright.device.generators import each_seeded

        return each_seeded(split.batches(epoch=0), self.runtime.seed, self.runtime.device)

    def splits(self, name: str) -> Mapping[str, Split[B]]:
        """What `val` or `test` stands for, by name: `val` is every validation split.

        Raises:
            UserError: the data have no such split.
        """
        if name == "val" and self.validation:
            return self.validation
        return {name: split_of(self.data, name)}


def split_of(data: Data[Any, B], name: str) -> Split[B]:
    """One part of the data: `val` or `test`.

    Raises:
        UserError: the data have no such split.
    """
    split: Split[B] | None = getattr(data, name)
    if split is None:
        raise UserError(
            f"These data have no {name} split. If an option of the data makes one, set it for the "
            "training too."
        )
    return split


@settings
class Stage(Settings, ABC, group="stage"):
    """Interface of everything that a run can do; the group `stage`."""

    trains: ClassVar[bool] = False
    """Whether the stage is the training itself."""

    needs_data: ClassVar[bool] = True
    """Whether the stage reads the data of the training; else there need be nothing but its run
    directory, and `Trained.data` is what `DataModule.without_examples` gives."""

    writes: ClassVar[tuple[str, ...]] = ()
    """The names of the files that it writes to a run directory, as regular expressions: they are
    a run's, so `overwrite=true` removes them."""

    def check(self, data: Data[Any, Any]) -> None:
        """Check that the data have what the stage needs.

        It is called before the training that the stage follows, or else before `run`.

        Raises:
            UserError: they do not.
        """

    def check_objective(self, objective: "Objective[Any]") -> None:
        """Check that the objective offers what the stage needs, when `check` does so of the data.

        Raises:
            UserError: it does not.
        """

    @abstractmethod
    def run(self, trained: Trained[Any]) -> float:
        """Run the stage.

        Returns:
            The monitored measure; NaN if nothing is measured.

        Raises:
            UserError: the data or the objective lack something that the stage needs.
        """
