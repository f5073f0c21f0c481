"""How a configuration differs from the one recorded in a run directory."""

import dataclasses
import functools
import typing
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final, cast

import yaml

from runwright.compose.schema import SCHEMA_NAME
from runwright.compose.yaml_text import escaped
from runwright.errors import UserError
from runwright.factory import Settings, choice, described, full_key, name_of, usual_members
from runwright.hints import scalars_in
from runwright.plain import leaves, plain_values

# Written in C where it is installed: a tenth of the time for the records of a thousand jobs.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def changes(recorded: Path, config: Settings, *, within: tuple[str, ...] = ("",)) -> list[str]:
    """What differs from a recorded `config.yaml`, as lines `key: before → now`.

    Args:
        recorded: the file.
        config: the configuration now.
        within: only keys that start with one of these.

    Raises:
        UserError: the file cannot be read.
    """
    found = differences(read_record(recorded), config)
    return [f"  {key}: {said}" for key, said in found.items() if key.startswith(within)]


def read_record(recorded: Path) -> dict[str, Any]:
    """The options and choices of a recorded `config.yaml`, by full key.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        return recorded_options(_record_of(read_yaml(recorded)))
    except (OSError, yaml.YAMLError, AttributeError, TypeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{recorded} cannot be read, so it is not known what this run directory holds: "
            f"{error}. Fix the file, or use another directory."
        ) from error


def read_yaml(path: Path) -> Any:
    """What is in a YAML file.

    Raises:
        OSError: it cannot be read.
        YAMLError: it is no YAML.
    """
    return yaml.load(path.read_text(), _LOADER)


def recorded_options(loaded: dict[str, Any]) -> dict[str, Any]:
    """The choices in the defaults list of a record, and its options, by their full keys."""
    entries: list[Any] = loaded.get("defaults", [])
    chosen = {
        group.removeprefix("override "): name
        for entry in entries
        if isinstance(entry, dict)
        for group, name in cast("dict[str, str]", entry).items()
    }
    options = {key: value for key, value in loaded.items() if key != "defaults"}
    return chosen | dict(leaves(options)) | chosen  # a choice of what has no options is one


def differences(before: dict[str, Any], config: Settings) -> dict[str, str]:
    """What differs from a record: "before → now", by full key.

    Left out are options that change how or where a run is made but not what it computes, and
    options that the record does not know and that have their default value.
    """
    now = {key: rest for key, *rest in _options(config, "")}
    harmless = _harmless(config, "")
    open_groups = [key for key in harmless if getattr(getattr(config, key, None), "is_open", False)]
    found: dict[str, str] = {}
    for key in sorted(before.keys() | now.keys()):
        value, is_usual, is_typed = now.get(key, ("(absent)", False, False))
        if key in before and _same(before[key], value, is_typed):
            continue
        if (key not in before and is_usual) or key in harmless:
            continue
        if any(key.startswith(f"{group}.") for group in open_groups):  # a key of one's own
            continue
        found[key] = f"{before.get(key, '(absent)')} → {value}"
    return found


def decisive_values(config: Settings, keys: Collection[str]) -> dict[str, Any]:
    """The values of those keys that are options or choices, and that decide what is computed.

    Only single values, by their key: two configurations that differ in one are different runs.
    """
    harmless = _harmless(config, "")
    return {
        key: value
        for key, value, *_ in _options(config, "")
        if key in keys and key not in harmless and not isinstance(value, list | dict)
    }


def is_record(path: Path) -> bool:
    """Whether a file is the `config.yaml` of a run directory, damaged or not."""
    if not path.is_file():
        return False
    if (path.parent / "environment.json").exists():
        return True
    try:
        loaded: Any = yaml.safe_load(path.read_text())
        return SCHEMA_NAME in loaded["defaults"]
    except (OSError, yaml.YAMLError, TypeError, KeyError, UnicodeDecodeError):
        return False


def group_members(settings: Settings, key: str = "") -> dict[str, str]:
    """The name of every chosen factory, by what chooses it: `model`, or `aug@train_aug`.

    Raises:
        UserError: one of them is not registered in a group.
    """
    members: dict[str, str] = {}
    for field in dataclasses.fields(cast("Any", settings)):
        value = getattr(settings, field.name)
        if not isinstance(value, Settings):
            continue
        full = full_key(key, field.name)
        if value.config_group is not None:
            name = name_of(type(value))
            if name is None:
                raise UserError(
                    f"{full}: {type(value).__name__} has no group; decorate it with @factory."
                )
            members[choice(value.config_group, full)] = name
        members |= group_members(value, full)
    return members


def chosen_files(settings: Settings, key: str = "") -> dict[str, str]:
    """The names of the files that members were chosen by, by what chooses them: `model`."""
    names: dict[str, str] = {}
    for field in dataclasses.fields(cast("Any", settings)):
        value, full = getattr(settings, field.name), full_key(key, field.name)
        if not isinstance(value, Settings):
            continue
        if value.config_group is not None and value.chosen_as is not None:
            names[choice(value.config_group, full)] = value.chosen_as
        names |= chosen_files(value, full)
    return names


def usual_choices(settings: Settings, key: str = "") -> Iterator[str]:
    """What chooses a member where one is usual, by what chooses it: `model/backbone`."""
    for field in dataclasses.fields(cast("Any", settings)):
        value, full = getattr(settings, field.name), full_key(key, field.name)
        if not isinstance(value, Settings):
            continue
        if described(field).usual is not None and value.config_group is not None:
            yield choice(value.config_group, full)
        yield from usual_choices(value, full)


def _options(settings: Settings, key: str) -> Iterator[tuple[str, Any, bool, bool]]:
    """Every option's full key, plain value, whether that is its default, and `_is_typed`."""
    if not key:
        usual = set(_usual_members(settings))
        for group, name in group_members(settings).items():
            yield group, name, (group, name) in usual, False
    typed = _typed(type(settings))
    for field in dataclasses.fields(cast("Any", settings)):
        value = getattr(settings, field.name)
        full = full_key(key, field.name)
        if isinstance(value, Settings):
            yield from _options(value, full)
            continue
        made = field.default_factory
        default = field.default if made is dataclasses.MISSING else made()
        is_typed = typed[field.name]
        is_usual = _same(value, default, is_typed)
        for leaf, plain in leaves(escaped(plain_values(value)), full):
            yield leaf, plain, is_usual, is_typed


@functools.cache
def _typed(cls: type[Settings]) -> dict[str, bool]:
    """For every option of a class, `_is_typed`."""
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(cast("Any", cls))
    return {field.name: _is_typed(hints[field.name]) for field in fields}


def _usual_members(settings: Settings) -> Iterator[tuple[str, str]]:
    """The members of groups that are taken where no other is chosen, by what chooses them.

    A record of before there was a choice does not name them.
    """
    for key, group, name in usual_members(type(settings)):
        yield choice(group, key), name


def _is_typed(hint: Any) -> bool:
    """Whether the type of a number is part of its meaning: 1 batch, or 1.0 of them all.

    A plain float may be recorded as 1, if it was given so in Python.
    """
    scalars = set(scalars_in(hint))
    return Any in scalars or len(scalars & {bool, int, float}) > 1


def _same(one: Any, other: Any, is_typed: bool) -> bool:
    return _with_types(one) == _with_types(other) if is_typed else one == other


def _with_types(value: Any) -> Any:
    """The value with the types of everything in it, because 1, 1.0 and True compare equal."""
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return {key: _with_types(member) for key, member in items}
    if isinstance(value, list):
        return [_with_types(member) for member in cast("list[Any]", value)]
    return type(value), value


def _harmless(settings: Settings, key: str) -> set[str]:
    found: set[str] = set()
    for field in dataclasses.fields(cast("Any", settings)):
        value = getattr(settings, field.name)
        full = full_key(key, field.name)
        if described(field).harmless and isinstance(value, Settings):
            group = value.config_group or full
            found |= {choice(group, full), *(leaf for leaf, *_ in _options(value, full))}
        elif isinstance(value, Settings):
            found |= _harmless(value, full)
        elif described(field).harmless:
            found |= {leaf for leaf, _ in leaves(plain_values(value), full)} | {full}
    return found


def _record_of(loaded: Any) -> dict[str, Any]:
    values = cast("dict[str, Any]", loaded) if isinstance(loaded, dict) else {}
    if not isinstance(values.get("defaults"), list):
        raise TypeError("it is not the record of a run")
    return values
