"""Data: the interface between a data set and the training loop.

A `DataModule` factory builds `Data`: the Dims, and a `Split` each for training, validation and
test. A split yields batches that already lie on the training device. The order of its examples
is a function of (seed, epoch) alone, so that a run can be resumed at any batch.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Self

import attrs
from typing_extensions import TypeVar

from runwright.dims import Dims
from runwright.errors import UserError
from runwright.factory import Settings, settings

if TYPE_CHECKING:
    import torch

    from runwright.runtime import Runtime


@attrs.frozen(kw_only=True)
class Batch:
    """Examples side by side: every tensor attribute has shape (B, …) with the same B.

    Attributes that are not tensors are passed on as they are.
    """

    def __len__(self) -> int:
        return len(next(iter(self._tensors().values())))

    @property
    def device(self) -> "torch.device":
        """The device that the tensors are on."""
        return next(iter(self._tensors().values())).device

    def select(self, index: "torch.Tensor | slice") -> Self:
        """The examples at `index` (a slice, or integers of shape (K,))."""
        chosen = {
            # index_select takes a third of the time of value[index].
            name: value[index] if isinstance(index, slice) else value.index_select(0, index)
            for name, value in self._tensors().items()
        }
        return attrs.evolve(self, **chosen)

    def to(self, device: "torch.device") -> Self:
        """The same examples on another device."""
        moved = {
            name: value.to(device, non_blocking=True) for name, value in self._tensors().items()
        }
        return attrs.evolve(self, **moved)

    def _tensors(self) -> "dict[str, torch.Tensor]":
        import torch

        values = {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}
        return {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}


D_co = TypeVar("D_co", bound=Dims, default=Any, covariant=True)
B_co = TypeVar("B_co", bound=Batch, default=Any, covariant=True)


class Split(ABC, Generic[B_co]):
    """One part of a data set, cut into batches."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of examples."""

    @property
    @abstractmethod
    def num_batches(self) -> int:
        """The number of batches in an epoch."""

    @abstractmethod
    def batches(self, epoch: int, start: int = 0) -> Iterator[B_co]:
        """Yield the batches of an epoch, from number `start` on, on the training device."""


_OTHER_COLUMNS: Final = ("train", "val", "test", "lr", "epoch", "step")
"""What columns of `metrics.csv` begin with, beside the names of further validation splits."""


@attrs.frozen(kw_only=True)
class Data(Generic[D_co, B_co]):
    """What a data module builds.

    Attributes:
        dims: what the model is built from.
        train: the training examples, shuffled anew in every epoch.
        val: the validation examples, always in the same order; None when there are none.
        test: the test examples, likewise.
        also: further validation splits by name. What is measured on `unseen` is called
            `unseen_loss`, `unseen_accuracy`, … as that on `val` is called `val_loss`.
        draw_examples: writes a picture of some training examples to the path it is given.
    """

    dims: D_co
    train: Split[B_co]
    val: Split[B_co] | None = None
    test: Split[B_co] | None = None
    also: Mapping[str, Split[B_co]] = attrs.field(factory=dict[str, Any])
    draw_examples: Callable[[Path], None] | None = None

    def __attrs_post_init__(self) -> None:
        for name in self.also:
            if self.val is None:
                raise UserError(f"Data.also has '{name}', which stands beside val: give that too.")
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
                raise UserError(
                    f"Data.also: '{name}' cannot be the name of a validation split, with which "
                    "columns of metrics.csv begin. Use letters, digits and '_', a letter first."
                )
        # Else `a_b_loss` would be the loss of `a_b` or the measure `b_loss` of `a`.
        for one, other in permutations((*_OTHER_COLUMNS, *self.also), 2):
            if one == other or other.startswith(f"{one}_"):
                raise UserError(
                    f"Data.also: what is measured on '{other}' could not be told from what belongs "
                    f"to '{one}'. Give one of them another name."
                )


@settings
class DataModule(Settings, ABC, Generic[D_co, B_co], group="dm"):
    """Interface of the factories of data; the group `dm`."""

    default_objective: ClassVar[str | None] = None
    """The member of the group `objective` that is taken unless the user chooses one."""

    smaller_examples: ClassVar[str] = "smaller examples"
    """What is advised when the memory is too small; names the option, where there is one."""

    @abstractmethod
    def build(self, runtime: "Runtime") -> Data[D_co, B_co]:
        """Read the data.

        Raises:
            UserError: the data are missing or broken; says where they were looked for.
        """

    def expected_dims(self) -> D_co | None:
        """The Dims, if they follow from the options alone; `check` builds models from them."""
        return None
