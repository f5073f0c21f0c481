"""Models: the interface of their factories."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic

from typing_extensions import TypeVar

from runwright.dims import Dims
from runwright.factory import Settings, settings

if TYPE_CHECKING:
    from torch import nn

D_contra = TypeVar("D_contra", bound=Dims, default=Any, contravariant=True)


class FittedModel(ABC):
    """A model that is fitted by statistics of the training data, not by gradients.

    It is an `nn.Module` as well, without trainable parameters. A step of the training shows it the
    next batches; what it makes of them is in its buffers, which are what a checkpoint holds:

        class MeanOfTargets(nn.Module, FittedModel):
            def __init__(self, size: int) -> None:
                super().__init__()
                self.register_buffer("total", torch.zeros(size))
                self.register_buffer("count", torch.zeros(()))

            def observe(self, batch: MyBatch) -> None:
                self.total += batch.target.sum(0)
                self.count += len(batch)

            def forward(self, inputs: Tensor) -> Tensor:
                return (self.total / self.count.clamp(min=1)).expand(len(inputs), -1)
    """

    @abstractmethod
    def observe(self, batch: Any) -> None:
        """Take in a training batch; without gradients, on the device of the model."""


class DataInitialized(ABC):
    """A model whose first weights follow from training examples: whitening, for instance.

    It is an `nn.Module` as well. A training that begins anew calls `initialize`; one that is
    resumed has its weights from the checkpoint.
    """

    @abstractmethod
    def initialize(self, batches: Iterator[Any]) -> None:
        """Set the weights; without gradients, on the device of the model.

        Args:
            batches: the first epoch of the training split, not augmented; take as many as needed.
        """


@settings
class ModelFactory(Settings, ABC, Generic[D_contra], group="model"):
    """Interface of the factories of models; the group `model`.

    The type argument names the Dims that the model can be built from.
    """

    @abstractmethod
    def build(self, dims: D_contra) -> "nn.Module":
        """Build the model for data of these Dims, with fresh random weights.

        Raises:
            UserError: the options leave no valid model for these Dims; says which sizes clash.
        """
