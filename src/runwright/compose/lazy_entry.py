"""Entries of Hydra's ConfigStore that are made when they are chosen.

Making the nodes of all factories and plugins at every start would take longer than everything else.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from hydra.core.config_store import ConfigNode, ConfigStore
from omegaconf import DictConfig

if TYPE_CHECKING:
    from pathlib import Path


class LazyEntry(ConfigNode):
    """An entry whose node is made when it is first asked for.

    Attributes:
        record: the file that the node is read from, if it is the record of a run.
    """

    def __init__(self, name: str, group: str | None, make: Callable[[], DictConfig]) -> None:
        self._make = make
        self._node: Any = None
        self.record: Path | None = None
        self._made: list[DictConfig] = []  # shared with the copies that Hydra makes of this entry
        self.name = f"{name}.yaml"
        self.group = group
        self.package = None
        self.provider = "runwright"

    @property
    def node(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]  # an attribute there
        """The node; Hydra copies it before it composes into it."""
        if self._node is not None:
            return self._node
        if not self._made:
            self._made.append(self._make())
        return self._made[0]

    @node.setter
    def node(self, value: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  # an attribute there
        self._node = value


def store_entry(name: str, group: str | None, make: Callable[[], DictConfig]) -> LazyEntry:
    """Register what `make` returns as `group=name`, in place of what was registered before."""
    folder = ConfigStore.instance().repo
    for part in group.split("/") if group else ():
        folder = cast("dict[str, Any]", folder.setdefault(part, {}))
    entry = folder[f"{name}.yaml"] = LazyEntry(name, group, make)
    return entry
