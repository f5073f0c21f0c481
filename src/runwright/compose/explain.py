"""The text for one mistake in a configuration: its place, and how to fix it."""

import dataclasses
import inspect
import itertools
import re
import typing
from collections.abc import Callable, Collection
from typing import Any, Final, TypeAlias

import yaml
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runwright import hints
from runwright.compose._omegaconf import (
    child,
    is_missing,
    is_none,
    split_key,
)
from runwright.compose.keys_twice import explained
from runwright.compose.right_names import typed_names
from runwright.compose.typed_nodes import (
    is_interface,
    is_known,
    member,
    node_at,
    option_names,
    type_of,
    typed_steps,
)
from runwright.compose.unknown_options import unknown_key, unknown_part
from runwright.compose.wrong_values import (
    declaration_at,
    hint_at,
    key_and_member,
    not_a_container,
    wrong_key,
    wrong_value,
)
from runwright.errors import nearest
from runwright.factory import (
    CONFIG_GROUPS,
    Settings,
    choice,
    full_key,
    group_of,
    is_settings,
)
from runwright.plain import shown

USER_MISTAKES: Final = (
    HydraException,
    OmegaConfBaseException,
    yaml.YAMLError,
    RecursionError,
    ValueError,
)

Members: TypeAlias = Callable[[str], Collection[str]]
"""The names of the members of a group."""


_MERGING: Final = re.compile(r"^Error merging override (.*)\n")
_INTERNAL: Final = re.compile(r"\s+(full_key:|reference_type=|object_type=)")  # of OmegaConf
_APPENDED: Final = "Could not append to config. An item is already at"
_NEW_KEY: Final = "is not in struct"  # of a dictionary that takes new keys with `+` only
_SWEPT_CONTROLLER: Final = re.compile(r"'hydra[./](\w+)' must be .* before the sweep starts")
_ONE_CONTROLLER: Final = (
    "hydra/{0}: a multirun has one for all of its jobs, and a file that it varies sets options of "
    "its own for it. Start a multirun for each such file, each with a hydra.sweep.dir of its own. "
    "Or search them in one study: hydra.sweeper.params for all, and under hydra.sweeper.when what "
    "belongs to one of them (docs/cookbook.md)."
)
_CIRCLE: Final = (
    "The defaults lists form a cycle: a YAML file names itself, perhaps because it has the "
    "same name as what it starts from. A file conf/model/cnn.yaml that begins with `- cnn` needs "
    "another name."
)


def text_of(error: BaseException) -> str:
    """The text of an error from Hydra, OmegaConf or YAML, with its cause and without internals."""
    if isinstance(error, RecursionError):
        return _CIRCLE
    if (twice := explained(error)) is not None:
        return twice
    cause = error.__cause__
    text = str(error).strip()
    if (swept := _SWEPT_CONTROLLER.match(text)) is not None:
        return _ONE_CONTROLLER.format(swept[1])
    if isinstance(cause, OmegaConfBaseException) and str(cause) not in text:
        text = f"{text}\n{cause}".strip()
    text = _MERGING.sub(r"\1: ", text)
    return "\n".join(line for line in text.splitlines() if not _INTERNAL.match(line))


def explain_deletion(one: Override, composed: DictConfig) -> str | None:
    """The text for an option that is to be deleted; None for a key of a dictionary."""
    key = one.key_or_group
    for path, node, name in typed_steps(key, composed):
        hint = typing.get_type_hints(type_of(node)).get(name)
        if path != key or hint is None or not issubclass(type_of(node), Settings):
            continue
        text = f"~{key}: an option cannot be deleted. "
        if inspect.isclass(hint) and issubclass(hint, Settings):
            return f"{text}Leave this out, and set the options under {key}."
        null = f" (or {key}=null)" if hints.is_optional(hint) else ""
        return f"{text}Give it a value, {key}=…{null}, or leave this out."
    return None


def explain_override(
    one: Override, error: Exception, composed: DictConfig, members: Members
) -> str:
    """Hydra's text for an override that does not fit, and the nearest name that would."""
    key, typed = one.key_or_group, str(one.input_line)
    if one.is_add() and str(error).startswith(_APPENDED):
        return f"{typed}: {key} has a value already, and + adds what is new. Write {typed[1:]}"
    if (wrong_place := _no_such_place(key, composed)) is not None:
        return wrong_place
    above = _not_chosen(key, composed, members)
    is_omegaconfs = isinstance(error, OmegaConfBaseException)
    if above is None and isinstance(error, AttributeError) and not is_omegaconfs:
        above = f"'{key.rpartition('.')[0]}' was not given"
    if above is not None:
        return f"{key}: {above}, so there is nothing below it."
    unknown = unknown_part(key, composed)
    text = _explain_key(unknown or key, one, text_of(error), composed, members)
    return text or text_of(error)


def _explain_key(
    key: str, one: Override, text: str, composed: DictConfig, members: Members
) -> str | None:
    """The text for a key that is unknown or does not accept the value; None if neither is known."""
    *parents, name = split_key(key)
    parent = ".".join(parents)
    try:
        owner = OmegaConf.select(composed, parent) if parent else composed
    except (OmegaConfBaseException, AttributeError):  # below something that was not chosen
        return None
    if owner is None and parents and _NEW_KEY in text:
        return _explain_key(parent, one, text, composed, members)
    if isinstance(owner, DictConfig):
        if not dataclasses.is_dataclass(OmegaConf.get_type(owner)):
            if _NEW_KEY in text:
                return _new_in_dictionary(key, one, owner)
            kind = key_and_member(hint_at(parent, composed))[0]
            if said := wrong_key(parent, name, kind):
                return said
        elif name not in [str(known) for known in owner if known not in ("hydra", "_target_")]:
            return unknown_key(key, owner)
    return _explain_typed_value(key, one, composed, members)


def _explain_typed_value(
    key: str, one: Override, composed: DictConfig, members: Members
) -> str | None:
    """The text for an option that does not accept the value; None if there is no such option."""
    hint, declared = declaration_at(key, composed)
    if hint is None:
        return None
    value, given = one.value(), str(one.input_line).partition("=")[2]
    if said := not_a_container(key, hint, value, given, "="):
        return said
    if group := group_of(hint):
        ways = ways_to_choose(key, group, in_defaults(composed), members)
        return f"{one.input_line}: this is chosen with {ways}."
    if first := _first_option(hint):
        return f"{key} holds options, `{key}.{first}=…`, got {shown(value)}."
    return wrong_value(key, value, hint, declared)


def _first_option(hint: Any) -> str | None:
    """The name of the first option in the block that a type is; None if it is something else."""
    kinds = [kind for kind in hints.alternatives(hint) if dataclasses.is_dataclass(kind)]
    return option_names(kinds[0])[0] if kinds and isinstance(kinds[0], type) else None


def _new_in_dictionary(key: str, one: Override, dictionary: DictConfig) -> str:
    """The text for a key that one of Hydra's dictionaries does not have yet."""
    above, _, name = key.rpartition(".")
    closest = nearest(name, map(str, dictionary))
    hint = typed_names([f"'{full_key(above, closest)}'"] if closest else [])
    typed = str(one.input_line)
    add = "" if one.is_delete() else f"To add it: +{typed.lstrip('+')}"
    return " ".join(filter(None, (f"{typed}: {above} has no '{name}'.", hint, add)))


def _no_such_place(key: str, composed: DictConfig) -> str | None:
    """The text for a key that names an entry that a list does not have."""
    node, path = composed, ""
    for name in split_key(key):
        below = member(node, name)
        if isinstance(node, ListConfig) and below is None:
            count = len(node)
            entries = f"has {count} entries, {path}.0 to {path}.{count - 1}"
            entries = f"has one entry, {path}.0" if count == 1 else entries
            return (
                f"{key}: {path} {entries if count else 'is empty'}. To give all of it: {path}=[…]"
            )
        if not isinstance(below, DictConfig | ListConfig):
            return None
        node, path = below, full_key(path, name)
    return None


def _not_chosen(key: str, composed: DictConfig, members: Members) -> str | None:
    """A clause that names the option above a key for which no member was chosen."""
    for path, node, name in typed_steps(key, composed):
        hint = typing.get_type_hints(type_of(node)).get(name)
        group, below = group_of(hint), child(node, name)
        if group is None and is_settings(hint) and path != key and below and is_none(below):
            return f"'{path}' is null (to give it options: {path}={{…}})"
        if path == key:
            continue
        kinds = {typing.get_origin(kind) or kind for kind in hints.alternatives(hint)}
        if dict in kinds and below is not None and is_none(below):
            return f"'{path}' is null (to give it keys: {path}={{…}})"
        if group is None or not isinstance(below, DictConfig):
            continue
        if is_missing(below):  # which is a mistake of its own
            return f"'{path}' was not chosen"
        if is_none(below):
            ways = ways_to_choose(path, group, in_defaults(composed), members)
            return f"'{path}' was not chosen ({ways})"
    *above, _ = itertools.accumulate(split_key(key), full_key)
    for path in above:
        hint = hint_at(path, composed)
        if hint is not None and hints.is_scalar(hint):
            return f"'{path}' takes {hints.in_words(hint)}"
    return None


def explain_key(key: str, value: Any, error: Exception, composed: DictConfig) -> str | None:
    """The text for a key in a file that does not fit: unknown, or with a wrong value.

    None if it is unknown what would fit, because the file does not say what it changes; that is
    found when the node is converted.
    """
    for path, node, _ in typed_steps(key, composed):
        if is_interface(type_of(node)):
            return None
        if not is_known(node, path):
            return unknown_key(path, node)
    hint, declared = declaration_at(key, composed)
    if said := not_a_container(key, hint, value, f"{value}", ": "):
        return said
    below = node_at(key, composed)
    if isinstance(below, DictConfig) and dataclasses.is_dataclass(OmegaConf.get_type(below)):
        form = f"`{key}: {{{option_names(type_of(below))[0]}: …}}`"
        text = f"{key} holds options, {form}, got {shown(value)}."
        is_chosen = getattr(type_of(below), "config_group", None) is not None
        way = f" A member is chosen in the defaults list: `- override /{key}: NAME`."
        return text + way * is_chosen
    if hint is not None:
        return wrong_value(key, value, hint, declared)
    above, _, name = key.rpartition(".")
    said = wrong_key(above, name, key_and_member(hint_at(above, composed))[0])
    return said or f"{key}: {text_of(error)}"


def in_defaults(composed: DictConfig) -> set[str]:
    """What the defaults lists of a composed node choose for, e.g. `model` or `aug@train_aug`."""
    return {str(key) for key in OmegaConf.select(composed, "hydra.runtime.choices") or ()}


def ways_to_choose(
    key: str, group: str, in_defaults: Collection[str] | None, members: Members | None = None
) -> str:
    """What to type to choose a member of a group for the option `key`: "+aug=flip|noise".

    Args:
        key: the option.
        group: its group.
        in_defaults: what the defaults list chooses, if that is known.
        members: the members of a group, including YAML files; by default the factories.
    """
    chosen_by = choice(group, key)
    sign = "" if in_defaults is None or chosen_by in in_defaults else "+"
    names = CONFIG_GROUPS.get(group, {}) if members is None else members(group)
    return f"{sign}{chosen_by}={'|'.join(sorted(names))}"
