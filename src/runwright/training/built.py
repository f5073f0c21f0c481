"""What a configuration describes, built."""

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from runwright.config import Config
from runwright.data import Batch, Data

if TYPE_CHECKING:
    from torch import nn

    from runwright.device.runtime import Runtime
    from runwright.objective import Objective

B = TypeVar("B", bound=Batch)


@attrs.frozen(kw_only=True)
class Built(Generic[B]):
    """The parts of a run, ready to be trained or measured; the model is on the device.

    Attributes:
        frozen: the modules that stay in evaluation mode, as nothing of them is trained; by name.
    """

    config: Config
    runtime: "Runtime"
    data: Data[Any, B]
    model: "nn.Module"
    objective: "Objective[B]"
    frozen: frozenset[str] = frozenset()
