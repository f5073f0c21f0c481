"""runwright: typed, frozen factories that Hydra composes into plain PyTorch research runs.

    from runwright import compose
    accuracy = compose(["model=cnn", "opt.lr=1e-3"]).run()

Importing this package imports neither torch nor Hydra; what is named below comes when it is used.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

# Now, and not when it is used: the folder of the same name would take its place.
from runwright.compose import compose

if TYPE_CHECKING:
    from runwright.config import Config
    from runwright.errors import ConfigError, RunError, UserError

__all__ = ["Config", "ConfigError", "RunError", "UserError", "compose"]

_HOME: Final = {
    "Config": "runwright.config",
    "ConfigError": "runwright.errors",
    "RunError": "runwright.errors",
    "UserError": "runwright.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'runwright' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)
