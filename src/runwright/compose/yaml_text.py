"""Configurations as YAML that any reader understands."""

import re
from typing import Any, cast

from omegaconf import OmegaConf

from runwright.compose._omegaconf import dump_yaml
from runwright.plain import plain_values


def to_yaml(node: Any, *, resolve: bool = False) -> str:
    """A composed node as YAML that any reader understands: names for enums, text for paths.

    Args:
        node: the node, or plain values with OmegaConf's escapes.
        resolve: whether to replace interpolations by their values.
    """
    plain: Any = node
    if OmegaConf.is_config(node):
        plain = OmegaConf.to_container(node, resolve=resolve, enum_to_str=True)
        plain = escaped(plain_values(plain)) if resolve else plain
    return dump_yaml(plain_values(plain))


def escaped(plain: Any) -> Any:
    """Plain values, escaped for OmegaConf: a "${" that is text, a "???" that is a value."""
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
