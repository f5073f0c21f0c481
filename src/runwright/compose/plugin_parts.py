"""Groups within that of a plugin, such as `hydra/sweeper/pruner`, which not every plugin has."""

from collections.abc import Iterator
from typing import Any, Final

from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from omegaconf import OmegaConf

from runwright.compose._hydra import Repository
from runwright.compose.typed_nodes import option_names

_DOES: Final = {"pruner": "prune"}


def plugins_with(group: str, option: str) -> list[str]:
    """The plugins of a group that have an option, `hydra/sweeper=runwright`."""
    store = ConfigStore.instance()
    names = store.list(group) if store.get_type(group) is ObjectType.GROUP else []
    plugins = [name.removesuffix(".yaml") for name in names if name.endswith(".yaml")]
    found = [name for name in plugins if option in _options(_class_of(f"{group}/{name}"))]
    return [f"{group}={name}" for name in found]


def without_part(repository: Repository, chosen: str, part: str) -> str | None:
    """A sentence if what is chosen in a plugin's group takes no member of a group within it.

    Args:
        repository: the configurations.
        chosen: what is chosen, e.g. `hydra/sweeper/fcn_params`.
        part: the group within, `pruner`.
    """
    group, _, name = chosen.rpartition("/")
    others = plugins_with(group, part)
    plugin = next(_followed(repository, chosen), None)
    if plugin is None or not others or part in _options(_class_of(plugin)):
        return None
    lacks, have, has = f"has no {part}", "have", "has"
    if part in _DOES:
        lacks, have, has = f"does not {_DOES[part]}", "do", "does"
    return f"{group}={name} {lacks}; {' and '.join(others)} {have if others[1:] else has}."


def _followed(repository: Repository, chosen: str) -> Iterator[str]:
    """The plugin that a file builds on, or a plugin itself."""
    if _class_of(chosen) is not None:
        yield chosen
        return
    group = chosen.rpartition("/")[0]
    for entry in repository.entries_of(chosen) if repository.has_config(chosen) else ():
        below = entry.lstrip("/") if entry.startswith("/") else f"{group}/{entry}"
        if below != chosen and repository.has_config(below):
            yield from _followed(repository, below)


def _class_of(config: str) -> type[Any] | None:
    """The class of a plugin's options; None of what is none."""
    store = ConfigStore.instance()
    if store.get_type(f"{config}.yaml") is not ObjectType.CONFIG:
        return None
    return OmegaConf.get_type(store.load(f"{config}.yaml").node)


def _options(cls: type[Any] | None) -> list[str]:
    return option_names(cls) if hasattr(cls, "__dataclass_fields__") and cls else []
