"""Models: the interface of their factories."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic

from typing_extensions import TypeVar

from runwright.dims import Dims
from runwright.factory import Settings, settings

if TYPE_CHECKING:
    from torch import nn

D_contra = TypeVar("D_contra", bound=Dims, default=Any, contravariant=True)


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
