"""How a configuration differs from the one that a run directory has on record."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml

from runwright import schema
from runwright.errors import UserError
from runwright.factory import Settings, described, name_of


def changes(recorded: Path, config: Settings, *, within: tuple[str, ...] = ("",)) -> list[str]:
    """What differs from a recorded `config.yaml`, a line `key: before → now` each.

    Options that change how or where a run is made, but not what it computes, are left out, and so
    are options that the record does not know and that have their default value.

    Args:
        recorded: the file.
        config: the configuration now.
        within: only keys that begin with one of these.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        loaded: Any = yaml.safe_load(recorded.read_text())
        chosen = {
            group.removeprefix("override "): name
            for entry in loaded.pop("defaults")
            if isinstance(entry, dict)
            for group, name in cast("dict[str, str]", entry).items()
        }
    except (OSError, yaml.YAMLError, AttributeError, KeyError, UnicodeDecodeError) as error:
        raise UserError(
            f"{recorded} cannot be read, so it is not known what this run directory holds: "
            f"{error}. Mend the file, or take another hydra.run.dir."
        ) from error
    before = dict(schema.leaves(loaded)) | chosen
    now = {key: (value, is_usual) for key, value, is_usual in _options(config, "")}
    lines: list[str] = []
    for key in sorted(before.keys() | now.keys()):
        value, is_usual = now.get(key, ("(absent)", False))
        if key in before and before[key] == value:
            continue
        if (key not in before and is_usual) or not key.startswith(within):
            continue
        if key in _harmless(config, ""):
            continue
        lines.append(f"  {key}: {before.get(key, '(absent)')} → {value}")
    return lines


def group_members(config: Settings) -> dict[str, str]:
    """The name of every chosen factory, by the option that holds it.

    Raises:
        UserError: one of them is registered in no group.
    """
    members: dict[str, str] = {}
    for field in dataclasses.fields(cast("Any", config)):
        factory = getattr(config, field.name)
        if isinstance(factory, Settings) and factory.config_group is not None:
            name = name_of(type(factory))
            if name is None:
                raise UserError(
                    f"{field.name}: {type(factory).__name__} is in no group; decorate it with "
                    "@factory."
                )
            members[field.name] = name
    return members


def _options(settings: Settings, key: str) -> Iterator[tuple[str, Any, bool]]:
    """Every option's full key, plain value, and whether that is its default."""
    if not key:
        yield from ((group, name, False) for group, name in group_members(settings).items())
    for field in dataclasses.fields(cast("Any", settings)):
        value = getattr(settings, field.name)
        full = f"{key}.{field.name}" if key else field.name
        if isinstance(value, Settings):
            yield from _options(value, full)
            continue
        made = field.default_factory
        default = field.default if made is dataclasses.MISSING else made()
        for leaf, plain in schema.leaves(schema.plain_values(value), full):
            yield leaf, plain, value == default


def _harmless(settings: Settings, key: str) -> set[str]:
    found: set[str] = set()
    for field in dataclasses.fields(cast("Any", settings)):
        value = getattr(settings, field.name)
        full = f"{key}.{field.name}" if key else field.name
        if isinstance(value, Settings):
            found |= _harmless(value, full)
        elif described(field).harmless:
            found |= {leaf for leaf, _ in schema.leaves(schema.plain_values(value), full)} | {full}
    return found
