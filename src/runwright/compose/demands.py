"""`lr: ???` in a YAML file: a value must be given, although there is a default.

OmegaConf passes over such a value when it merges, and the default of the schema would stand.
"""

from collections.abc import Iterator
from typing import Any

from omegaconf import MISSING, Container, DictConfig, OmegaConf

from runwright.factory import full_key


class Demands:
    """Which options the files that are merged, in order, demand a value for."""

    def __init__(self) -> None:
        """Begin with no file."""
        self._keys: dict[str, None] = {}

    def note(self, loaded: Container) -> None:
        """Look at the next file: it may demand a value, or give one that was demanded before."""
        for key, is_demand in _given(loaded):
            if is_demand:
                self._keys[key] = None
            else:
                self._keys.pop(key, None)

    def make(self, merged: DictConfig) -> None:
        """Take away the defaults of the options that are left."""
        for key in self._keys:
            OmegaConf.update(merged, key, MISSING, force_add=True)


def _given(node: Any, above: str = "") -> Iterator[tuple[str, bool]]:
    """What a file gives, by full key, and whether it is only a demand.

    A schema gives nothing: what it has are the defaults.
    """
    if not isinstance(node, DictConfig) or OmegaConf.get_type(node) is not dict:
        return
    for name in node:
        key = full_key(above, str(name))
        is_demand = OmegaConf.is_missing(node, name)
        child = None if is_demand or OmegaConf.is_interpolation(node, str(name)) else node[name]
        if isinstance(child, DictConfig):
            yield from _given(child, key)
        elif name != "defaults":
            yield key, is_demand
