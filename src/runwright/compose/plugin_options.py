"""The options of our plugins for Hydra: how Hydra finds them, and how it returns them."""

from collections.abc import Mapping
from functools import partial
from typing import Any, TypeVar

from omegaconf import OmegaConf

from runwright.compose._omegaconf import structured
from runwright.compose.lazy_entry import store_entry

T = TypeVar("T")


def store_options(group: str, name: str, cls: type[Any]) -> None:
    """Let Hydra find the options of a plugin, as `group=name`."""
    store_entry(name, group, partial(structured, cls))


def chosen_options(cls: type[T], chosen: Mapping[str, Any]) -> T:
    """The options as Hydra composed them, as plain values."""
    plain = {
        name: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for name, value in chosen.items()
    }
    return cls(**plain)
