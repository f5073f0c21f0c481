"""Configurations as plain values: what YAML can hold, and what is compared key by key."""

import dataclasses
import enum
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from runwright.errors import UserError
from runwright.factory import Settings, full_key


def plain_values(value: Any) -> Any:
    """Settings as YAML can hold them: dictionaries, lists, numbers, strings; paths as text."""
    if isinstance(value, Settings):
        fields = dataclasses.fields(cast("Any", value))
        return {field.name: plain_values(getattr(value, field.name)) for field in fields}
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return {plain_values(key): plain_values(member) for key, member in items}
    if isinstance(value, list | tuple):
        return [plain_values(member) for member in cast("list[Any]", value)]
    return value


def shown(value: Any) -> str:
    """A value as it is written in YAML, with text in quotes."""
    if isinstance(value, list):
        return f"[{', '.join(map(shown, cast('list[object]', value)))}]"
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return f"{{{', '.join(f'{shown(key)}: {shown(member)}' for key, member in items)}}}"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every (full key, value) below plain values; empty dictionaries and lists are values."""
    if isinstance(node, dict) and node:
        for name, member in cast("dict[Any, Any]", node).items():
            yield from leaves(member, full_key(key, str(name)))
    else:
        yield key, node


def real_path(path: Path | str) -> Path:
    """The absolute path without links; one that is circular is left as it is."""
    return Path(os.path.realpath(path))  # Path.resolve would raise


def home_path(path: Path) -> Path:
    """The path with a leading `~` or `~user` expanded.

    Raises:
        UserError: there is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UserError(f"there is no home directory {path.parts[0]}.") from error


def given_path(path: object, function: str) -> Path:
    """A path that was given to a function of the package.

    Args:
        path: what was given.
        function: the function, as it is called, for the message.

    Raises:
        UserError: it is no path.
    """
    if not isinstance(path, str | Path):
        raise UserError(f"{function} takes the path of a folder, as text or a Path, got {path!r}.")
    return Path(path)
