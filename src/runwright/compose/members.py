"""The groups along a search path, and their members, including those in subfolders."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from omegaconf import OmegaConf

from runwright.compose._hydra import Repository
from runwright.compose.schema import SCHEMA_NAME
from runwright.errors import did_you_mean
from runwright.factory import CONFIG_GROUPS

_NO_CHOICES: Final = frozenset({SCHEMA_NAME, "_dummy_empty_config_"})


def members(repository: Repository, group: str) -> list[str]:
    """What can be chosen in a group: `good_run`, and `cmnist/cnn` in a subfolder.

    Args:
        repository: the configurations.
        group: the group, e.g. `experiment`; "" for the primary configurations.
    """
    names = {*repository.configs_in(group)} - _NO_CHOICES
    for folder in _folders(repository, group) if group else ():
        path = f"{group}/{folder}"
        if ConfigStore.instance().get_type(path) is not ObjectType.GROUP:  # one of its own
            names |= {f"{folder}/{name}" for name in members(repository, path)}
    return sorted(names)


def groups(repository: Repository, above: str = "") -> Iterator[str]:
    """All groups below one, or all groups: `model`, `hydra/launcher`."""
    for folder in _folders(repository, above):
        path = f"{above}/{folder}".lstrip("/")
        yield path
        yield from groups(repository, path)


def classes_in(group: str) -> Mapping[str, type[Any]]:
    """The options of each member of a group that declares them: factories, and Hydra's plugins."""
    if group in CONFIG_GROUPS:
        return CONFIG_GROUPS[group]
    store = ConfigStore.instance()
    names = store.list(group) if store.get_type(group) is ObjectType.GROUP else []
    files = [name for name in names if name.endswith(".yaml")]  # others are groups within it
    types = {name: OmegaConf.get_type(store.load(f"{group}/{name}").node) for name in files}
    plugins = {name: cls for name, cls in types.items() if dataclasses.is_dataclass(cls)}
    return {name.removesuffix(".yaml"): cls for name, cls in plugins.items()}


def nearest_member(repository: Repository, path: str) -> str:
    """A sentence with the nearest member to one that does not exist, `experiment/cmnst/cnn`.

    Or with the nearest group, if the group does not exist.
    """
    group, _, name = path.rpartition("/")
    while group and not repository.has_group(group):
        group, _, folder = group.rpartition("/")
        name = f"{folder}/{name}"
    if not group and "/" in name:
        return did_you_mean(name.rpartition("/")[0], groups(repository))
    return did_you_mean(name, members(repository, group))


def _folders(repository: Repository, group: str) -> list[str]:
    return repository.groups_in(group)
