"""JSON Schema of classes of options: types, bounds, names, descriptions and defaults.

Draft 7, which every editor's YAML extension understands. Whatever composes is valid: any value may
be an interpolation such as `${opt.lr}`, or `???` for a value that is still missing.
"""

import dataclasses
import enum
import json
import typing
from collections.abc import Iterable
from pathlib import Path
from types import NoneType
from typing import Any, Final, TypeAlias

from omegaconf import MISSING

from runwright import hints
from runwright.compose.typed_nodes import classes_of
from runwright.factory import Option, Settings, is_settings, summary
from runwright.plain import plain_values

JsonSchema: TypeAlias = dict[str, Any]

INTERPOLATION: Final[JsonSchema] = {"type": "string", "pattern": r"\$\{.+\}|^\?\?\?$"}
_TYPES: Final[dict[Any, Any]] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: ["string", "number"],  # OmegaConf makes a string of a number
    Path: "string",
    NoneType: "null",
    list: "array",
    tuple: "array",
    dict: "object",
}


class Definitions:
    """The definitions of one schema file, filled as they are referred to.

    Attributes:
        content: what goes under `definitions` in the file.
    """

    def __init__(self) -> None:
        self.content: dict[str, JsonSchema] = {}

    def block(self, cls: type[Any], group: str = "") -> JsonSchema:
        """The options of a class, a member of this group; all of them are optional."""
        key = f"{cls.__module__}.{cls.__qualname__}"
        if key not in self.content:
            self.content[key] = {}  # a class may contain itself
            self.content[key] = {"type": "object", **self.options(cls, group)}
        return {"$ref": f"#/definitions/{key}"}

    def any_of(self, classes: Iterable[type[Any]], group: str = "") -> JsonSchema:
        """The options of any one of these classes."""
        return {"anyOf": [self.block(cls, group) for cls in classes] or [{"type": "object"}]}

    def options(self, cls: type[Any], group: str = "") -> JsonSchema:
        """What a mapping with the options of a class may hold."""
        types = typing.get_type_hints(cls)
        fields = {
            field.name: self._option(field, types[field.name], f"{group}/{field.name}")
            for field in dataclasses.fields(cls)
        }
        return {
            "description": summary(cls) if issubclass(cls, Settings) else "",
            "properties": {**fields, "defaults": {}},
            "additionalProperties": getattr(cls, "is_open", False),
        }

    def _option(self, field: "dataclasses.Field[Any]", hint: Any, place: str) -> JsonSchema:
        option = next(iter(field.metadata.values()), Option(doc=""))  # plugins have no descriptions
        content = self._value(hint, option, place)
        if is_settings(hint):
            return {"description": option.doc, **content}
        text = f"{option.doc}\n\n{option.written_type(hint)}".strip()
        default = field.default_factory() if callable(field.default_factory) else field.default
        if default in (dataclasses.MISSING, MISSING):  # plugins have the latter
            return {"description": text, **content}
        plain = plain_values(default)
        shown = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
        return {"description": f"{text}; default {shown}", "default": plain, **content}

    def _value(self, hint: Any, option: Option, place: str = "") -> JsonSchema:
        """What a type allows, or an interpolation instead."""
        kinds = [self._kind(kind, option, place) for kind in hints.alternatives(hint)]
        return {"anyOf": [*kinds, INTERPOLATION]} if all(kinds) else {}

    def _kind(self, kind: Any, option: Option, place: str) -> JsonSchema:
        """What one type of a union allows; for some, such as Any, nothing is known."""
        if classes := classes_of(kind, place):
            found = self.any_of(classes, place)
            return {"anyOf": [found, {"required": ["_target_"]}]} if kind is Any else found
        if isinstance(kind, enum.EnumType):
            return {"enum": list(kind.__members__)}
        origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
        if origin is typing.Literal or (kind is str and option.choices):
            return {"enum": list(arguments or option.choices or ())}
        content: JsonSchema = {"type": _TYPES[origin]} if origin in _TYPES else {}
        if kind in (int, float):
            limits = {"minimum": option.ge, "maximum": option.le}
            limits |= {"exclusiveMinimum": option.gt, "exclusiveMaximum": option.lt}
            content |= {word: limit for word, limit in limits.items() if limit is not None}
        members = [self._value(one, option) for one in arguments if one is not ...]
        if origin is dict and members:
            content["additionalProperties"] = members[1]
            if arguments[0] is int:
                content["propertyNames"] = {"pattern": r"^-?\d+$"}
        elif origin is tuple and ... not in arguments:
            content |= {"items": members, "minItems": len(members), "maxItems": len(members)}
        elif members:
            content["items"] = members[0]
        return content
