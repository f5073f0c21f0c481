"""Groups within that of a plugin, such as `hydra/sweeper/pruner`, which not every plugin has."""

from collections.abc import Iterator
from typing import Any, Final

from runwright.compose._hydra import Repository
from runwright.compose.members import classes_in
from runwright.compose.typed_nodes import option_names

_DOES: Final = {"pruner": "prune"}


def plugins_with(group: str, option: str) -> list[str]:
    """The plugins of a group that have an option, `hydra/sweeper=runwright`."""
    return [
        f"{group}={name}" for name, cls in classes_in(group).items() if option in option_names(cls)
    ]


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
    if plugin is None or not others or part in option_names(plugin):
        return None
    lacks, have, has = f"has no {part}", "have", "has"
    if part in _DOES:
        lacks, have, has = f"does not {_DOES[part]}", "do", "does"
    return f"{group}={name} {lacks}; {' and '.join(others)} {have if others[1:] else has}."


def _followed(repository: Repository, chosen: str) -> Iterator[type[Any]]:
    """The options of the plugin that a file builds on, or of a plugin itself."""
    group, _, name = chosen.rpartition("/")
    if name in (plugins := classes_in(group)):
        yield plugins[name]
        return
    for entry in repository.entries_of(chosen) if repository.has_config(chosen) else ():
        below = entry.lstrip("/") if entry.startswith("/") else f"{group}/{entry}"
        if below != chosen and repository.has_config(below):
            yield from _followed(repository, below)
