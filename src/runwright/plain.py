"""Configurations as plain values: what YAML holds, and what is compared key by key."""

import dataclasses
import enum
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from runwright.factory import Settings, full_key


def plain_values(value: Any) -> Any:
    """Settings as YAML holds them: dictionaries, lists, numbers, strings; paths as text."""
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


def to_yaml(node: Any, *, resolve: bool = False) -> str:
    """A composed node as YAML that any reader understands: names for enums, text for paths.

    Args:
        node: the node, or plain values with the escapes that OmegaConf reads.
        resolve: whether to put values in the place of interpolations.
    """
    plain: Any = node
    if OmegaConf.is_config(node):
        plain = OmegaConf.to_container(node, resolve=resolve, enum_to_str=True)
        plain = escaped(plain_values(plain)) if resolve else plain
    return OmegaConf.to_yaml(OmegaConf.create(plain_values(plain)))


def escaped(plain: Any) -> Any:
    """Plain values as OmegaConf reads them back: a "${" that is text, a "???" that is a value."""
    if isinstance(plain, dict):
        items = cast("dict[Any, Any]", plain).items()
        return {key: escaped(member) for key, member in items}
    if isinstance(plain, list):
        return [escaped(member) for member in cast("list[Any]", plain)]
    if not isinstance(plain, str):
        return plain
    if re.fullmatch(r"\\*\?\?\?", plain):
        return f"\\{plain}"
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", plain)  # a backslash before it stands for two


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every (full key, value) below plain values; empty dictionaries and lists are values."""
    if isinstance(node, dict) and node:
        for name, member in cast("dict[Any, Any]", node).items():
            yield from leaves(member, full_key(key, str(name)))
    else:
        yield key, node
