"""JSON Schema of the classes of options: types, bounds, names, descriptions and defaults.

Draft 7, which every editor's YAML extension understands. Whatever composes is valid: any value may
be an interpolation such as `${opt.lr}`, or `???` for one that is still to be given.
"""

import dataclasses
import enum
import types
import typing
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from omegaconf import MISSING as OMEGACONF_MISSING

from runwright.factory import (
    CONFIG_GROUPS,
    Option,
    Settings,
    described,
    name_of,
    summary,
)
from runwright.plain import plain_values

JsonSchema: TypeAlias = dict[str, Any]

INTERPOLATION: Final = r"\$\{.+\}|^\?\?\?$"

_LIMITS: Final = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}


class Definitions:
    """The definitions of one schema file, filled as they are referred to.

    Attributes:
        content: what stands under `definitions` in the file.
    """

    def __init__(self) -> None:
        """Nothing is defined yet."""
        self.content: dict[str, JsonSchema] = {}

    def group(self, group: str) -> JsonSchema:
        """Any member of a group: the options of one of its factories."""
        members = sorted(CONFIG_GROUPS.get(group, {}).items())
        return {"anyOf": [self.settings(cls) for _, cls in members]} if members else _MAPPING

    def settings(self, cls: type[Settings], *, has_defaults: bool = False) -> JsonSchema:
        """The options of one class, none of which need be given.

        Args:
            cls: the class.
            has_defaults: whether a `defaults` list may stand beside them.
        """
        name = name_of(cls)
        key = cls.__name__ if name is None else f"{cls.config_group}.{name}".replace("/", ".")
        if key not in self.content:
            self.content[key] = {}  # a class may contain itself
            properties: dict[str, JsonSchema] = {"defaults": {}} if has_defaults else {}
            hints = typing.get_type_hints(cls)
            for field in dataclasses.fields(cast("Any", cls)):
                properties[field.name] = self.option(field, hints[field.name], described(field))
            self.content[key] = {
                "title": key if name is None else name,
                "description": summary(cls),
                "type": ["object", "string"],
                "pattern": INTERPOLATION,
                "properties": properties,
                "additionalProperties": False,
            }
        return {"$ref": f"#/definitions/{key}"}

    def option(self, field: "dataclasses.Field[Any]", hint: Any, option: Option) -> JsonSchema:
        """One option: its type, bounds, description and default."""
        if _is_settings(hint):
            return {"description": option.doc, "allOf": [self._settings_like(hint)]}
        text = option.written_type(hint)
        default = _default(field)
        described_as = f"{option.doc}\n\n{text}" + ("" if default is _NONE else _shown(default))
        allowed = self._with_interpolation(hint, option, text)
        result = {"description": described_as.strip(), **allowed}
        return result if default is _NONE else {**result, "default": default}

    def _settings_like(self, cls: type[Settings]) -> JsonSchema:
        """A block of options: those of a class, or of any member of its group."""
        if cls.config_group is not None and name_of(cls) is None:
            return self.group(cls.config_group)
        return self.settings(cls)

    def _with_interpolation(self, hint: Any, option: Option, text: str) -> JsonSchema:
        """What a type allows, or a string that stands for it."""
        schema = self._type(hint, option)
        if not schema:
            return schema
        if "type" not in schema:
            return {"anyOf": [schema, {"type": "string", "pattern": INTERPOLATION}]}
        allowed = _as_list(schema["type"])
        if "string" in allowed:
            return schema
        return {
            **schema,
            "type": [*allowed, "string"],
            "pattern": INTERPOLATION,
            "patternErrorMessage": f"Must be {text}, or an interpolation such as ${{…}}.",
        }

    def _type(self, hint: Any, option: Option) -> JsonSchema:
        origin: Any = typing.get_origin(hint)
        arguments: tuple[Any, ...] = typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            return _union([self._type(argument, option) for argument in arguments])
        if origin in (list, dict, tuple):
            return self._container(origin, arguments, option)
        if origin is typing.Literal:
            return {"enum": list(arguments)}
        if _is_settings(hint):
            return self._settings_like(hint)
        return _scalar(hint, option)

    def _container(
        self, origin: type[Any], arguments: tuple[Any, ...], option: Option
    ) -> JsonSchema:
        items = [
            self._with_interpolation(argument, option, option.written_type(argument))
            for argument in arguments
            if argument is not Ellipsis
        ]
        if origin is dict:
            keys = {"propertyNames": _WHOLE_NUMBER} if arguments[0] is int else {}
            return {"type": "object", **keys, "additionalProperties": items[1]}
        if origin is tuple and Ellipsis not in arguments:
            count = len(items)
            return {"type": "array", "items": items, "minItems": count, "maxItems": count}
        return {"type": "array", "items": items[0]}


_MAPPING: Final[JsonSchema] = {"type": "object"}
# Keys are strings in JSON.
_WHOLE_NUMBER: Final = {"pattern": r"^-?\d+$", "patternErrorMessage": "Must be a whole number."}
_SCALARS: Final[dict[Any, str | list[str]]] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: ["string", "number"],  # OmegaConf makes a string of a number
    Path: "string",
    type(None): "null",
    list: "array",
    tuple: "array",
    dict: "object",
}
_NONE: Final = object()


def _is_settings(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Settings)


def _scalar(hint: Any, option: Option) -> JsonSchema:
    """One value; anything at all for a type that says nothing, such as Any."""
    if isinstance(hint, enum.EnumType):
        return {"enum": [member.name for member in cast("type[enum.Enum]", hint)]}
    if hint is str and option.choices is not None:
        return {"enum": list(option.choices)}
    if hint not in _SCALARS:
        return {}
    limits = {_LIMITS[name]: getattr(option, name) for name in _LIMITS}
    bounds = {keyword: limit for keyword, limit in limits.items() if limit is not None}
    return {"type": _SCALARS[hint], **(bounds if hint in (int, float) else {})}


def _union(parts: list[JsonSchema]) -> JsonSchema:
    """What any of the parts allows: one schema of several types, if they do not contradict."""
    if not all(parts):
        return {}
    values = [part for part in parts if part != {"type": "null"}]
    if len(values) == 1 and "enum" in values[0]:
        return {"enum": [*values[0]["enum"], None]}
    merged: JsonSchema = {"type": []}
    for part in parts:
        for keyword, value in part.items():
            if keyword == "type":
                merged["type"] += _as_list(value)
            elif merged.setdefault(keyword, value) != value:
                return {"anyOf": parts}
    # Each keyword concerns one type: bounds numbers, `items` arrays, `pattern` strings.
    return merged if all("type" in part for part in parts) else {"anyOf": parts}


def _as_list(types_: str | list[str]) -> list[str]:
    return [types_] if isinstance(types_, str) else types_


def _default(field: "dataclasses.Field[Any]") -> Any:
    """The default as YAML holds it, or `_NONE`."""
    if field.default == OMEGACONF_MISSING:  # a plugin's way to say that there is none
        return _NONE
    if field.default is not dataclasses.MISSING:
        return plain_values(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return plain_values(field.default_factory())
    return _NONE


def _shown(default: Any) -> str:
    names = {None: "null", True: "true", False: "false"}
    is_name = default is None or isinstance(default, bool)
    return f"; default {names[default] if is_name else default}"
