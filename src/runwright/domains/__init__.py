"""The domains: kinds of data, each with its models, objectives and pictures."""

import importlib
import pkgutil


def register_domains() -> None:
    """Import the factories of every domain: the `choices.py` in every folder here."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}.choices")
