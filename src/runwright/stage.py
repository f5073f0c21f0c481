"""Stages: what a run does: train, or something with what was trained."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import attrs

from runwright.data import Batch, Data, Split
from runwright.errors import UserError
from runwright.factory import Settings, settings

if TYPE_CHECKING:
    from torch import nn

    from runwright.objective import Objective
    from runwright.runtime import Runtime

B = TypeVar("B", bound=Batch)


@attrs.frozen(kw_only=True)
class Trained(Generic[B]):
    """What was trained, ready to be measured or applied.

    Attributes:
        config: the options of the whole run, a `Config`.
        draws: whether pictures are wanted.
        runtime: the device, the seed, and the directories to write to and of the training.
        data: the data; `data.val` is what the training validated.
        validation: all that the training validated, by name.
        model: the model with its best weights, on the device, in evaluation mode.
        objective: the objective.
        weights: the file that the weights are from.
        monitor: the measure that a run returns, as it is called on any split.
        monitored_split: the validation split that it is of in the training.
        applying: makes the context in which the model is applied: without gradients, and in the
            precision of the run.
    """

    config: Settings
    draws: bool
    runtime: "Runtime"
    data: Data[Any, B]
    validation: Mapping[str, Split[B]]
    model: "nn.Module"
    objective: "Objective[B]"
    weights: Path
    monitor: str
    monitored_split: str
    applying: Callable[[], AbstractContextManager[object]]


def split_of(data: Data[Any, B], name: str) -> Split[B]:
    """One part of the data: `val` or `test`.

    Raises:
        UserError: these data have no such part.
    """
    split: Split[B] | None = getattr(data, name)
    if split is None:
        raise UserError(
            f"These data have no {name} split. If an option of the data keeps one, train with it "
            "as well."
        )
    return split


@settings
class Stage(Settings, ABC, group="stage"):
    """Interface of what a run can do; the group `stage`."""

    trains: ClassVar[bool] = False
    """Whether it is the training itself."""

    def check(self, data: Data[Any, Any]) -> None:
        """Check that the data have what it takes, before the training that the stage follows.

        It is called before `run` too, where the stage is by itself.

        Raises:
            UserError: they do not.
        """

    @abstractmethod
    def run(self, trained: Trained[Any]) -> float:
        """Do it with what was trained.

        Returns:
            The monitored measure; NaN where nothing is measured.

        Raises:
            UserError: the data or the objective do not have what it takes.
        """
