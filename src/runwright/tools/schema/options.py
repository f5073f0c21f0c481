"""JSON Schema of classes of options: types, bounds, names, descriptions and defaults.

Draft 7, which every editor's YAML extension understands. Whatever composes is valid: any value may
be an interpolation such as `${opt.lr}`, or `???` for a value that is still missing.
"""

import dataclasses
import enum
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, Final, TypeAlias, cast

from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from omegaconf import MISSING, OmegaConf

from runwright import hints
from runwright.factory import CONFIG_GROUPS, Option, Settings, group_of, name_of, summary
from runwright.plain import plain_values

JsonSchema: TypeAlias = dict[str, Any]

INTERPOLATION: Final[JsonSchema] = {"type": "string", "pattern": r"\$\{.+\}|^\?\?\?$"}
_LIMITS: Final = {
    "minimum": "ge",
    "exclusiveMinimum": "gt",
    "maximum": "le",
    "exclusiveMaximum": "lt",
}
_TYPES: Final[dict[Any, JsonSchema]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": ["string", "number"]},  # OmegaConf makes a string of a number
    Path: {"type": "string"},
    NoneType: {"type": "null"},
    list: {"type": "array"},
    tuple: {"type": "array"},
    dict: {"type": "object"},
}


def classes(group: str) -> Mapping[str, type[Any]]:
    """The options of each member of a group that declares them: factories, and Hydra's plugins."""
    if group in CONFIG_GROUPS:
        return dict(sorted(CONFIG_GROUPS[group].items()))
    store = ConfigStore.instance()
    names = sorted(store.list(group)) if is_stored(group) else []
    files = [name for name in names if not is_stored(f"{group}/{name}")]
    types = {one: OmegaConf.get_type(store.load(f"{group}/{one}").node) for one in files}
    return {
        name.removesuffix(".yaml"): cls
        for name, cls in types.items()
        if cls and dataclasses.is_dataclass(cls)
    }


def is_stored(group: str) -> bool:
    """Whether factories or plugins make up a group, not only YAML files."""
    return ConfigStore.instance().get_type(group) is ObjectType.GROUP


class Definitions:
    """The definitions of one schema file, filled as they are referred to.

    Attributes:
        content: what goes under `definitions` in the file.
    """

    def __init__(self) -> None:
        self.content: dict[str, JsonSchema] = {}

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
        blocks = [self.block(cls, group) for cls in classes(group).values()]
        return {"anyOf": blocks} if blocks else {"type": "object"}

    def options(self, cls: type[Any], group: str | None) -> JsonSchema:
        """What a mapping with the options of a class holds."""
        types = typing.get_type_hints(cls)
        is_made_up = (cls.__doc__ or "").startswith(f"{cls.__name__}(")  # by @dataclass
        return {
            "description": "" if is_made_up else summary(cls),
            "properties": {"defaults": {}}
            | {
                field.name: self._option(field, types[field.name], group)
                for field in dataclasses.fields(cls)
                if field.name != "defaults"
            },
            "additionalProperties": getattr(cls, "is_open", False),
        }

    def _option(self, field: "dataclasses.Field[Any]", hint: Any, group: str | None) -> JsonSchema:
        option = next(iter(field.metadata.values()), Option(doc=""))  # plugins have no descriptions
        if classes(below := f"{group}/{field.name}"):  # a sampler, which may be a custom one
            return {"anyOf": [self.any_member(below), {"required": ["_target_"]}]}
        if _is_block(hint):
            return {"description": option.doc, "allOf": [self._value(hint, option)]}
        made: Any = field.default
        if field.default_factory is not dataclasses.MISSING:
            made = field.default_factory()
        text, default = f"{option.doc}\n\n{option.written_type(hint)}", {}
        if made is not dataclasses.MISSING and made != MISSING:  # as plugins say that there is none
            value = plain_values(made)
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            text, default = f"{text}; default {shown}", {"default": value}
        return {"description": text.strip(), **default, **self._value(hint, option)}

    def _value(self, hint: Any, option: Option) -> JsonSchema:
        """What a type allows, or an interpolation instead."""
        kinds = [self._kind(kind, option) for kind in hints.alternatives(hint)]
        if not all(kinds):
            return {}
        return kinds[0] if _is_block(hint) else {"anyOf": [*kinds, INTERPOLATION]}

    def _kind(self, kind: Any, option: Option) -> JsonSchema:
        """What a type other than a union allows; for some, such as Any, nothing is known."""
        if _is_block(kind):
            group = None if name_of(kind) else group_of(kind)
            return self.any_member(group) if group else self.block(kind, group_of(kind))
        names = option.choices if kind is str else None
        if isinstance(kind, enum.EnumType):
            names = [member.name for member in cast("type[enum.Enum]", kind)]
        elif typing.get_origin(kind) is typing.Literal:
            names = typing.get_args(kind)
        if names:
            return {"enum": list(names)}
        if (origin := typing.get_origin(kind)) in (list, tuple, dict):
            return {**_TYPES[origin], **self._members(origin, typing.get_args(kind), option)}
        limits = {word: getattr(option, name) for word, name in _LIMITS.items()}
        bounds = {word: limit for word, limit in limits.items() if limit is not None}
        return _TYPES.get(kind, {}) | (bounds if kind in (int, float) else {})

    def _members(self, origin: Any, arguments: tuple[Any, ...], option: Option) -> JsonSchema:
        """What the members of a list, tuple or dictionary may be."""
        items = [self._value(one, option) for one in arguments if one is not ...]
        if origin is dict:
            keys = {"propertyNames": {"pattern": r"^-?\d+$"}} if arguments[0] is int else {}
            return {**keys, "additionalProperties": items[1]}
        if origin is tuple and ... not in arguments:
            return {"items": items, "minItems": len(items), "maxItems": len(items)}
        return {"items": items[0]}


def _is_block(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Settings)
