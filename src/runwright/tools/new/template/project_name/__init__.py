"""What can be chosen: importing a module registers its factories."""

from . import data, model, objective

__all__ = ["data", "model", "objective"]
