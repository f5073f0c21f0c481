"""The options of our plugins for Hydra: how Hydra finds them, and how it returns them."""

from collections.abc import Mapping
from typing import Any, TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

T = TypeVar("T")


def store_options(group: str, name: str, cls: type[Any]) -> None:
    """Let Hydra find the options of a plugin, as `group=name`."""
    ConfigStore.instance().store(
        group=group, name=name, node=cls, provider="runwright", replace=True
    )


def chosen_options(cls: type[T], chosen: Mapping[str, Any]) -> T:
    """The options as Hydra composed them, as plain values."""
    plain = {
        name: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for name, value in chosen.items()
    }
    return cls(**plain)
