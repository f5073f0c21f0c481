"""How settings are made: by one function for all classes, where `dataclass` would compile one each.

That would be half of what registering a factory takes, for factories that nobody chooses.
"""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, cast

from runwright.errors import did_you_mean


def fill(options: object, given: Mapping[str, Any]) -> None:
    """Set all options of a new instance: those that are given, and the others to their defaults.

    Raises:
        TypeError: one is not an option of the class, or a required one is missing.
    """
    cls = cast("type[Any]", type(options))
    fields = {field.name: field for field in dataclasses.fields(cls)}  # no class variables
    values: dict[str, Any] = vars(options)
    missing: list[str] = []
    for field in fields.values():
        if field.name in given:
            values[field.name] = given[field.name]
        elif field.default_factory is not dataclasses.MISSING:
            values[field.name] = field.default_factory()
        elif field.default is not dataclasses.MISSING:
            values[field.name] = field.default
        else:
            missing.append(field.name)
    for name in given:
        if name not in fields:
            hint = did_you_mean(name, fields)
            raise TypeError(f"{cls.__name__} has no option '{name}'. {hint}".rstrip())
    if missing:
        needed = ", ".join(f"{name}=…" for name in missing)
        raise TypeError(f"{cls.__name__} must be given {needed}")


class LazySignature:
    """What `inspect.signature`, `help` and notebooks show of a class: its options."""

    def __get__(self, instance: object, owner: type[Any]) -> inspect.Signature:
        return inspect.Signature(
            [
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=_default_of(field),
                    annotation=field.type,
                )
                for field in dataclasses.fields(owner)
            ]
        )


def _default_of(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
