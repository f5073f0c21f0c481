"""The register of everything that can be chosen, and the decorators that fill it."""

import dataclasses
import functools
import inspect
import os
import re
import sys
from collections.abc import Callable
from typing import (
    Any,
    ClassVar,
    Final,
    TypeVar,
    cast,
    dataclass_transform,
    get_origin,
    get_type_hints,
)

from runwright.errors import NameTakenError, UserError, did_you_mean
from runwright.factory.option import UsualMember, is_declared, option
from runwright.factory.settings import Settings, group_of, place_of_definition

T = TypeVar("T")
SettingsT = TypeVar("SettingsT", bound=Settings)

CONFIG_GROUPS: Final[dict[str, dict[str, type[Settings]]]] = {}
"""Every registered factory: group → name → class. `@factory` fills it."""

_NO_DOC = (
    "{cls}.{field} has no description. Declare it as `{field}: … = option(default=…, doc='…')`."
)
_NO_CLASS_DOC = "{cls} has no docstring. `--help` shows the first line of it."
_NO_BUILD = "{cls} is a factory but leaves {missing} abstract. Define it, or use @settings."
_NO_GROUP = (
    "{cls} does not inherit from a group's interface. Derive it from DataModule, ModelFactory, "
    "ObjectiveFactory, or from an interface of your own: "
    "`@settings class MyKind(Settings, group='kind')`."
)
_UNDECORATED = "{base}, which {cls} inherits from, is not decorated. Write @settings above it."
_COLLISION = (
    "{cls}.build takes '{name}', which is also an option of {cls}. Arguments of `build` are "
    "known only at run time; read the option as `self.{name}` and drop the argument."
)
_TAKEN = (
    "'{group}={name}' would name two factories:\n  {other}\n  {cls}\nRegister one of them under "
    "another name."
)
_SAME_CLASS_NAME = (
    "'{group}={other_name}' and '{group}={name}' are classes with the same name in one module, "
    "where only the last one can be found:\n  {other}\n  {cls}\nRename one of the classes."
)
_TWO_INTERFACES = (
    "The group '{group}' would have two interfaces, so an option of one could be given a factory "
    "of the other:\n  {other}\n  {cls}\nGive one of them another group."
)
_RESERVED: Final = frozenset({"defaults", "hydra"})
_RESERVED_NAME = "{cls} has an option '{field}', a name that Hydra reserves. Rename it."
_GROUP_DEFAULT = (
    "{cls}.{field} has a factory of a group as its default, so no other member could be chosen. "
    "Declare the default member by name: `option(usual='…', doc='…')`."
)
_USUAL_OF_NO_GROUP = (
    "{cls}.{field} has usual='{usual}', but its type does not belong to a group. Use the group's "
    "interface as its type, `class MyKind(Settings, group='kind')`."
)
_BAD_NAME = "'{name}' cannot be the name of {cls}: use only letters, digits, '_', '-' and '.'."


def _make(cls: type[T]) -> type[T]:
    """Check the declarations of `cls`, and make it a frozen dataclass."""
    name = cls.__name__
    if not (cls.__doc__ or "").strip():
        raise TypeError(_NO_CLASS_DOC.format(cls=name))
    for field, annotation in inspect.get_annotations(cls).items():
        is_class_var = get_origin(annotation) is ClassVar or "ClassVar" in str(annotation)
        if is_class_var:
            continue
        if field in _RESERVED:
            raise TypeError(_RESERVED_NAME.format(cls=name, field=field))
        declared = cls.__dict__.get(field)
        if not is_declared(declared):
            raise TypeError(_NO_DOC.format(cls=name, field=field))
        if getattr(cast("Any", declared).default, "config_group", None) is not None:
            raise TypeError(_GROUP_DEFAULT.format(cls=name, field=field))
        made: Any = cast("Any", declared).default_factory
        if isinstance(made, UsualMember):
            made.make = functools.partial(_usual_member, cls, field, made.name)
    return dataclasses.dataclass(init=False, kw_only=True, eq=False, repr=False)(cls)


def _usual_member(cls: type[Any], field: str, name: str) -> Settings:
    """The usual member of the option `field` of a class."""
    group = group_of(get_type_hints(cls)[field])
    if group is None:
        text = _USUAL_OF_NO_GROUP.format(cls=cls.__name__, field=field, usual=name)
        raise TypeError(text)
    members = CONFIG_GROUPS.get(group, {})
    if name not in members:
        hint = did_you_mean(name, members)
        raise UserError(f"{group}={name}: there is no such {group}. {hint}")
    return members[name]()


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
def settings(cls: type[T]) -> type[T]:
    """Make a frozen class of options; also for the interface shared by the factories of a group.

    Raises:
        TypeError: the class or one of its options is not documented.
    """
    return _make(cls)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
def factory(name: str) -> Callable[[type[SettingsT]], type[SettingsT]]:
    """Make a frozen factory and register it as `<group of its base class>=<name>`.

    Raises:
        TypeError: the class breaks one of the rules that this module's docstring gives, or the
            name is taken.
    """

    def register(cls: type[SettingsT]) -> type[SettingsT]:
        made = _make(cls)
        group = made.config_group
        if group is None:
            raise TypeError(_NO_GROUP.format(cls=cls.__name__))
        if not re.fullmatch(r"[A-Za-z0-9_.\-]+", name):
            raise TypeError(_BAD_NAME.format(name=name, cls=cls.__name__))
        for base in made.__mro__[: made.__mro__.index(Settings)]:
            if issubclass(base, Settings) and "__dataclass_fields__" not in vars(base):
                raise TypeError(_UNDECORATED.format(base=base.__name__, cls=cls.__name__))
        missing = sorted(getattr(made, "__abstractmethods__", ()))
        if missing:
            raise TypeError(_NO_BUILD.format(cls=cls.__name__, missing=" and ".join(missing)))
        options = {field.name for field in dataclasses.fields(made)}  # pyright: ignore[reportArgumentType]  # made by dataclass()
        build = getattr(made, "build", None)
        for argument in () if build is None else inspect.signature(build).parameters:
            if argument in options:
                raise TypeError(_COLLISION.format(cls=cls.__name__, name=argument))
        made.defined_at = place_of_definition()
        _register(group, name, made)
        return made

    return register


@functools.cache
def with_own_keys(cls: type[SettingsT], names: tuple[str, ...]) -> type[SettingsT]:
    """The class of an open group's member that has keys of its own, as options of any type.

    Args:
        cls: the class of the member.
        names: the keys.
    """
    if not names:
        return cls
    options = {name: option(default=None, doc="a key of one's own") for name in names}
    about = {"__doc__": cls.__doc__, "__module__": cls.__module__, "__reduce__": _reduced}
    body = {**about, **options, "__annotations__": dict.fromkeys(names, Any)}
    made = _make(type(cls)(cls.__name__, (cls,), body))
    made.config_choice, made.of_member = cls.__dict__.get("config_choice"), (cls, names)
    return made


def _reduced(self: Any) -> tuple[Any, ...]:
    """How such a member is pickled, whose class no module holds."""
    options: dict[str, Any] = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
    return _restored, (*type(self).of_member, options)


def _restored(cls: type[Settings], names: tuple[str, ...], values: dict[str, Any]) -> Settings:
    return with_own_keys(cls, names)(**values)


def _register(group: str, name: str, cls: type[Settings]) -> None:
    members = CONFIG_GROUPS.setdefault(group, {})

    def refuse(reason: str, other: type[Settings], mine: type[Settings], **names: str) -> None:
        places = {"other": _described_place(other), "cls": _described_place(mine)}
        raise NameTakenError(reason.format(group=group, name=name, **places, **names))

    for other_name, other in members.items():
        # The same class may be registered again: by a notebook cell that is run twice, or a script
        # that is also imported.
        is_same = _is_same_class(other, cls)
        if other_name == name and not is_same:
            refuse(_TAKEN, other, cls)
        # pickle, which sends jobs to other processes, finds a class by its module and name.
        if other_name != name and is_same and _source_file(cls) and "<locals>" not in str(cls):
            refuse(_SAME_CLASS_NAME, other, cls, other_name=other_name)
        if not _is_same_class(_interface(other), _interface(cls)):
            refuse(_TWO_INTERFACES, _interface(other), _interface(cls))
    members[name] = cls
    cls.config_choice = name


def _is_same_class(one: type[Settings], other: type[Settings]) -> bool:
    """Whether two classes come from the same definition, run twice."""
    if one is other:
        return True
    if one.__qualname__ != other.__qualname__:
        return False
    file = _source_file(one)
    return one.__module__ == other.__module__ or (file is not None and file == _source_file(other))


def _source_file(cls: type[Settings]) -> str | None:
    """The file of the class's module; None in a notebook or at a prompt."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return None if file is None else os.path.realpath(file)


def _interface(cls: type[Settings]) -> type[Settings]:
    """The class that made the group of a factory."""
    return next(base for base in cls.__mro__ if "config_group" in base.__dict__)


def _described_place(cls: type[Settings]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}, {cls.defined_at}"
