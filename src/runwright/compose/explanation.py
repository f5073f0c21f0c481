"""The text for one mistake in a configuration: its place, and the way out."""

# Being strict about composition takes some of OmegaConf's inner parts.
# pyright: reportPrivateUsage=false

import dataclasses
import inspect
import re
import typing
from collections.abc import Iterator
from typing import Any, Final

import yaml
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import split_key
from omegaconf.errors import OmegaConfBaseException

from runwright import hints
from runwright.compose import schema
from runwright.errors import nearest
from runwright.factory import Settings, described, group_of
from runwright.plain import leaves

USER_MISTAKES: Final = (
    HydraException,
    OmegaConfBaseException,
    yaml.YAMLError,
    RecursionError,
    ValueError,
)

_CIRCLE: Final = (
    "The defaults lists lead in a circle: a YAML file names itself, perhaps because it has the "
    "name of what it starts from. A file conf/model/cnn.yaml that begins with `- cnn` needs "
    "another name."
)
# OmegaConf's hint, where there is one with the full key.
_OMEGACONF_HINT: Final = re.compile(r"\. Did you mean(?: one of)?: .*\?$", re.MULTILINE)


def text_of(error: BaseException) -> str:
    """The text of an error of Hydra's, OmegaConf's or YAML's, with its cause."""
    if isinstance(error, RecursionError):
        return _CIRCLE
    cause = error.__cause__
    text = str(error).strip()
    if isinstance(cause, OmegaConfBaseException) and str(cause) not in text:
        text = f"{text}\n{cause}".strip()
    return text


def explain_deletion(one: Override, composed: DictConfig) -> str | None:
    """The text for an option that is to be deleted; None for a key of a dictionary."""
    key = one.key_or_group
    for path, node, name in _typed_steps(key, composed):
        hint = typing.get_type_hints(schema.type_of(node)).get(name)
        if path != key or hint is None or not issubclass(schema.type_of(node), Settings):
            continue
        text = f"~{key}: an option cannot be deleted. "
        if inspect.isclass(hint) and issubclass(hint, Settings):
            return f"{text}Leave this out, and give values to the options below {key}."
        null = f" (or {key}=null)" if hints.is_optional(hint) else ""
        return f"{text}Give it a value, {key}=…{null}, or leave this out."
    return None


def explain_override(
    one: Override, error: Exception, composed: DictConfig, members: schema.Members
) -> str:
    """Hydra's text for an override that does not fit, and the nearest name that would."""
    key = one.key_or_group
    above = _not_chosen(key, composed, members)
    if above is None and isinstance(error, AttributeError):
        above = f"'{key.rpartition('.')[0]}' was not given"
    if above is not None:
        return f"{key}: {above}, so there is nothing below it."
    text = text_of(error)
    if unknown := _unknown_within(key, one.value(), composed):
        return "\n".join([_OMEGACONF_HINT.sub("", text), *unknown])
    key = unknown_part(key, composed) or key
    *parents, name = split_key(key)
    parent = ".".join(parents)
    try:
        owner = OmegaConf.select(composed, parent) if parent else composed
    except (OmegaConfBaseException, AttributeError):  # below something that was not chosen
        return text
    if not (isinstance(owner, DictConfig) and dataclasses.is_dataclass(OmegaConf.get_type(owner))):
        return text
    cls = schema.options_class(owner) or schema.type_of(owner)
    known = [str(known) for known in owner if known not in ("hydra", "_target_")]
    if name in known:
        hint = _nearest_value(cls, name, one.value())
        if group := group_of(typing.get_type_hints(cls).get(name)):
            ways = schema.ways_to_choose(key, group, in_defaults(composed), members)
            hint = f"It is chosen with {ways}."
        return f"{text}\n{hint}".strip()
    hint = ""
    if closest := nearest(name, known):
        hint = f"Did you mean '{f'{parent}.{closest}'.lstrip('.')}'? "
        text = _OMEGACONF_HINT.sub("", text)
    has = f"has: {', '.join(known)}" if known else "has no options"
    return f"{text}\n{hint}{cls.__name__} {has}."


def _unknown_within(key: str, value: object, composed: DictConfig) -> list[str]:
    """A text for every name in a dictionary for options that is none of them."""
    texts: dict[str, str] = {}
    for leaf, _ in leaves(value, key) if isinstance(value, dict) else ():
        for path, node, _ in _typed_steps(leaf, composed):
            if path != key and not schema.is_known(node, path):
                texts[path] = schema.unknown_key(path, node)
                break
    return [*texts.values()]


def _nearest_value(cls: type[Any], name: str, value: object) -> str:
    """A sentence with the nearest allowed value, for an option that is one of several names."""
    closest = nearest(str(value), hints.names_in(typing.get_type_hints(cls).get(name)))
    return f"Did you mean '{closest}'?" if closest else ""


def values_to_choose(key: str, composed: DictConfig) -> list[str]:
    """All values of an option that is one of a few: names, true and false, null; else nothing."""
    for path, node, name in _typed_steps(key, composed):
        cls = schema.type_of(node)
        fields = {field.name: field for field in dataclasses.fields(cls)}
        if path != key or name not in fields or not issubclass(cls, Settings):
            continue
        hint: Any = typing.get_type_hints(cls)[name]
        is_flag = bool in hints.alternatives(hint)
        names = [
            *(described(fields[name]).choices or hints.names_in(hint)),
            *["true", "false"] * is_flag,
        ]
        return [*names, "null"] if names and hints.is_optional(hint) else names
    return []


def _not_chosen(key: str, composed: DictConfig, members: schema.Members) -> str | None:
    """A clause that says for which option above a key no member of its group was chosen."""
    for path, node, name in _typed_steps(key, composed):
        group = group_of(typing.get_type_hints(schema.type_of(node)).get(name))
        child = node._get_node(name, validate_access=False)
        if group is None or path == key or not isinstance(child, DictConfig):
            continue
        if child._is_missing():  # which is a mistake of its own
            return f"'{path}' was not chosen"
        if child._is_none():
            ways = schema.ways_to_choose(path, group, in_defaults(composed), members)
            return f"'{path}' was not chosen ({ways})"
    return None


def explain_key(key: str, error: Exception, composed: DictConfig) -> str | None:
    """The text for a key in a file that does not fit: unknown, or with a wrong value.

    None where it is not known what would fit, as the file does not say what it changes; that is
    found when the node is converted.
    """
    for path, node, name in _typed_steps(key, composed):
        if inspect.isabstract(schema.type_of(node)):
            return None
        if name not in node:
            return schema.unknown_key(path, node)
    return f"{key}: {str(error).splitlines()[0]}"


def unknown_part(key: str, composed: DictConfig) -> str | None:
    """A key up to the first name that its place has no option for; None where all are known."""
    for path, node, _ in _typed_steps(key, composed):
        if not schema.is_known(node, path):
            return path
    return None


def _typed_steps(key: str, composed: DictConfig) -> Iterator[tuple[str, DictConfig, str]]:
    """The names in a key that stand for options: the key so far, whose option, the name."""
    node, path = composed, ""
    for name in split_key(key):
        if not dataclasses.is_dataclass(OmegaConf.get_type(node)):
            return
        path = f"{path}.{name}".lstrip(".")
        yield path, node, name
        child = node._get_node(name, validate_access=False)
        if not isinstance(child, DictConfig):
            return
        node = child


def in_defaults(composed: DictConfig) -> set[str]:
    """What the defaults lists of a composed node choose for, e.g. `model` or `aug@train_aug`."""
    return {str(key) for key in OmegaConf.select(composed, "hydra.runtime.choices") or ()}
