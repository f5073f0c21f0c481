"""JSON Schema of classes of options: types, bounds, names, descriptions and defaults.

Draft 7, which every editor's YAML extension understands. Whatever composes is valid: any value may
be an interpolation such as `${opt.lr}`, or `???` for a value that is still missing.
"""

import dataclasses
import enum
import json
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, Final, TypeAlias, cast

from omegaconf import MISSING

from runwright import hints
from runwright.factory import Option, Settings, group_of, name_of, summary
from runwright.plain import plain_values

JsonSchema: TypeAlias = dict[str, Any]
Classes: TypeAlias = Callable[[str], Mapping[str, type[Any]]]
"""The members of a group: name → class of options."""

INTERPOLATION: Final[JsonSchema] = {"type": "string", "pattern": r"\$\{.+\}|^\?\?\?$"}
_LIMITS: Final = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}
_TYPES: Final[dict[Any, str | list[str]]] = {
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

    def __init__(self, classes: Classes) -> None:
        self.content: dict[str, JsonSchema] = {}
        self._classes = classes

    def block(self, cls: type[Any], group: str | None) -> JsonSchema:
        """The options of a class, all of them optional, as a block within a file."""
        name = name_of(cls)
        key = f"{group}.{name}".replace("/", ".") if name else cls.__name__
        if key not in self.content:
            self.content[key] = {}  # a class may contain itself
            options = self.options(cls, group)
            self.content[key] = {**INTERPOLATION, "type": ["object", "string"], **options}
        return {"$ref": f"#/definitions/{key}"}

    def any_member(self, group: str) -> JsonSchema:
        """The options of any one member of a group."""
        blocks = [self.block(cls, group) for cls in self._classes(group).values()]
        return {"anyOf": blocks} if blocks else {"type": "object"}

    def options(self, cls: type[Any], group: str | None) -> JsonSchema:
        """What a mapping with the options of a class holds."""
        types = typing.get_type_hints(cls)
        is_made_up = (cls.__doc__ or "").startswith(f"{cls.__name__}(")  # by @dataclass
        return {
            "description": "" if is_made_up else summary(cls),
            "properties": {
                field.name: self._option(field, types[field.name], group)
                for field in dataclasses.fields(cls)
                if field.name != "defaults"
            },
            "additionalProperties": getattr(cls, "is_open", False),
        }

    def _option(self, field: "dataclasses.Field[Any]", hint: Any, group: str | None) -> JsonSchema:
        option = next(iter(field.metadata.values()), Option(doc=""))  # plugins have no descriptions
        if self._classes(below := f"{group}/{field.name}"):  # a sampler, which may be a custom one
            return {"anyOf": [self.any_member(below), {"required": ["_target_"]}]}
        if _is_settings(hint):
            return {"description": option.doc, "allOf": [self._value(hint, option)]}
        default = _default(field)
        text = f"{option.doc}\n\n{option.written_type(hint)}"
        for value in default.values():
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            text = f"{text}; default {shown}"
        return {"description": text.strip(), **default, **self._value(hint, option)}

    def _value(self, hint: Any, option: Option) -> JsonSchema:
        """What a type allows, or an interpolation instead."""
        kinds = [self._kind(kind, option) for kind in hints.alternatives(hint)]
        if _is_settings(hint) or not all(kinds):
            return kinds[0] if all(kinds) else {}
        return {"anyOf": [*kinds, INTERPOLATION]}

    def _kind(self, kind: Any, option: Option) -> JsonSchema:
        """What a type other than a union allows; for some, such as Any, nothing is known."""
        if _is_settings(kind):
            group = group_of(kind)
            if group is None or name_of(kind) is not None:
                return self.block(kind, group)
            return self.any_member(group)
        origin: Any = typing.get_origin(kind)
        names = list(option.choices or ()) if kind is str else []
        if isinstance(kind, enum.EnumType):
            names = [member.name for member in cast("type[enum.Enum]", kind)]
        elif origin is typing.Literal:
            names = list(typing.get_args(kind))
        if names:
            return {"enum": names}
        if origin in (list, tuple, dict):
            return self._container(origin, typing.get_args(kind), option)
        limits = {word: getattr(option, name) for name, word in _LIMITS.items()}
        bounds = {word: limit for word, limit in limits.items() if limit is not None}
        known: JsonSchema = {"type": _TYPES[kind]} if kind in _TYPES else {}
        return {**known, **bounds} if kind in (int, float) else known

    def _container(self, origin: Any, arguments: tuple[Any, ...], option: Option) -> JsonSchema:
        items = [self._value(one, option) for one in arguments if one is not ...]
        if origin is dict:
            keys = {"propertyNames": {"pattern": r"^-?\d+$"}} if arguments[0] is int else {}
            return {"type": "object", **keys, "additionalProperties": items[1]}
        if origin is tuple and ... not in arguments:
            length = len(items)
            return {"type": "array", "items": items, "minItems": length, "maxItems": length}
        return {"type": "array", "items": items[0]}


def _is_settings(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Settings)


def _default(field: "dataclasses.Field[Any]") -> JsonSchema:
    made: Any = field.default
    if field.default_factory is not dataclasses.MISSING:
        made = field.default_factory()
    # The second is how plugins say that there is no default.
    has_one = made is not dataclasses.MISSING and made != MISSING
    return {"default": plain_values(made)} if has_one else {}
