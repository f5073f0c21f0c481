"""Loading weights into a model, or into this process's part of it."""

from pathlib import Path

from torch import nn

from runwright.errors import UserError
from runwright.rundir.tensor_files import Tensors
from runwright.training.sharding import shard_like


def load_into(model: nn.Module, weights: Tensors, path: Path) -> None:
    """Load weights into a model.

    Raises:
        UserError: they do not fit this model; names what differs.
    """
    own = model.state_dict()
    clashes = [
        *(f"missing: {name}" for name in own.keys() - weights.keys()),
        *(f"unexpected: {name}" for name in weights.keys() - own.keys()),
        *(
            f"shape of {name}: {tuple(weights[name].shape)}, not {tuple(own[name].shape)}"
            for name in own.keys() & weights.keys()
            if own[name].shape != weights[name].shape
        ),
    ]
    if clashes:
        shown = "\n  ".join(sorted(clashes)[:20])
        raise UserError(
            f"The weights in {path} do not fit this model, {len(clashes)} differences:\n  {shown}\n"
            "Use the model options that they were trained with: that run's config.yaml has "
            "them."
        )
    model.load_state_dict({name: shard_like(weights[name], own[name]) for name in own})
