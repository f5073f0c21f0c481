"""Conditions of JSON Schema on the names in a YAML file."""

import re
from collections.abc import Iterable

from runwright.tools.option_schema import JsonSchema


def chain(cases: Iterable[tuple[JsonSchema, JsonSchema]], otherwise: JsonSchema) -> JsonSchema:
    """If one condition holds, what follows from it; else the next; else `otherwise`."""
    result = otherwise
    for condition, then in reversed(list(cases)):
        result = {"if": condition, "then": then, "else": result}
    return result


def inherits(group: str, names: Iterable[str]) -> JsonSchema:
    """Holds for a file of a group whose defaults name one of these members of it."""
    entry = {"type": "string", "pattern": f"^(/{literal(group)}/)?{any_of(names)}(@.+)?$"}
    return {"required": ["defaults"], "properties": {"defaults": {"contains": entry}}}


def any_of(names: Iterable[str]) -> str:
    """A pattern for just these names."""
    return f"({'|'.join(literal(name) for name in names)})"


def literal(name: str) -> str:
    """A pattern for just this name; `re.escape` escapes more than JavaScript understands."""
    return re.sub(r"([.*+?^$|\\(){}\[\]])", r"\\\1", name)
