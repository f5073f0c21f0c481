"""Names that are no options, and what was most likely meant by each."""

from typing import Any, Final

from omegaconf import DictConfig

from runwright.compose._omegaconf import root_of
from runwright.compose.plugin_parts import plugins_with
from runwright.compose.right_names import right_names, typed_names
from runwright.compose.typed_nodes import (
    is_known,
    option_names,
    options_class,
    places_of,
    type_of,
    typed_steps,
)
from runwright.factory import CONFIG_GROUPS, choice, type_argument

NOT_GLOBAL: Final = (
    "An experiment configures everything at once, so its file must begin with the line "
    "`# @package _global_`; without it, its content is put under a key 'experiment'."
)


def unknown_part(key: str, composed: DictConfig) -> str | None:
    """A key up to the first name that is not an option there; None if all are known."""
    for path, node, _ in typed_steps(key, composed):
        if not is_known(node, path):
            return path
    return None


def unknown_key(key: str, node: DictConfig) -> str:
    """The text for a full key that a typed node cannot have."""
    return unknown_option(key, options_class(node) or type_of(node), root_of(node))


def unknown_option(key: str, cls: type[Any], composed: DictConfig) -> str:
    """The text for a full key whose last name is none of the options of a class."""
    if key == "experiment":
        return NOT_GLOBAL
    above, _, name = key.rpartition(".")
    known = option_names(cls)
    if name in CONFIG_GROUPS and (places := places_of(name, cls, above)):
        ways = " or ".join(f"+{choice(name, place)}=…" for place in places)
        return f"{key} is not an option: its members are chosen with {ways}."
    elsewhere = _others_with(name, cls, above)
    hint = "" if elsewhere else typed_names(right_names(key, cls, composed))
    if getattr(cls, "is_open", False):
        hint += " A key of your own needs a name that is less like it."
    said = f"{key} is not an option: {cls.__name__} has no '{name}'{elsewhere}."
    return " ".join(filter(None, (said, hint, _allowed(known))))


def _others_with(name: str, cls: type[Any], place: str) -> str:
    """A clause on the members of a group that have the option, in place of one that does not."""
    group = getattr(cls, "config_group", None) or ""
    found = [
        f"{choice(group, place)}={one}"
        for one, other in CONFIG_GROUPS.get(group, {}).items()
        if name in option_names(other) and type_argument(other) is type_argument(cls)
    ] or plugins_with(place.replace(".", "/"), name)
    if not found:
        return ""
    return f", which {' and '.join(found)} {'has' if len(found) == 1 else 'have'}"


def _allowed(names: list[str]) -> str:
    return f"It has: {', '.join(names)}." if names else "It has no options."
