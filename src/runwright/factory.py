"""What a factory is, and the registry of everything that can be chosen.

A factory is a frozen dataclass: its fields are everything a user may choose, and its `build(...)`
takes what is only known at run time and returns the real thing:

    @factory("mlp")
    class MlpFactory(ModelFactory[ImageDims]):
        '''Multilayer perceptron.'''

        width: int = option(default=64, ge=1, doc="width of the hidden layer")

        def build(self, dims: ImageDims) -> nn.Module: ...

`@factory(name)` makes the frozen dataclass, enforces the rules (documented, keyword-only, a
`build`), and registers it under the group of its base class: the class above is `model=mlp`.
`@settings` does the same for options that are not a choice of a group (`opt`, `training`, …).
"""

import dataclasses
import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import (
    Any,
    ClassVar,
    Final,
    TypeVar,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import attrs

from runwright import hints
from runwright.errors import UserError, did_you_mean

T = TypeVar("T")
SettingsT = TypeVar("SettingsT", bound="Settings")

CONFIG_GROUPS: Final[dict[str, dict[str, "type[Settings]"]]] = {}
"""Every registered factory: group → name → class. `@factory` fills it."""

_METADATA_KEY: Final = "runwright"
_MAX_INT: Final = 2**63 - 1
_NAMED: Final = re.compile(r"`([^`]+)`")  # an option, in a sentence of `problems()`

_NO_DOC = (
    "{cls}.{field} has no description. Declare it as `{field}: … = option(default=…, doc='…')`."
)
_DICT_OF_OPTIONS = (
    "{cls}.{field} is a dictionary of options, which nothing can be composed into. Declare a list "
    "of them, each with a name, or an option for each."
)
_NO_CLASS_DOC = "{cls} has no docstring. Its first line is what `--help` shows for it."
_NO_BUILD = "{cls} is a factory but leaves {missing} abstract. Define it, or use @settings."
_NO_GROUP = (
    "{cls} does not inherit from a group's interface. Derive it from DataModule, ModelFactory, "
    "ObjectiveFactory, or from an interface of your own: `class MyKind(Settings, group='kind')`."
)
_COLLISION = (
    "{cls}.build takes '{name}', which is also an option of {cls}. An argument of `build` is known "
    "only at run time; read the option as `self.{name}` and drop the argument."
)
_TAKEN = (
    "'{group}={name}' would name two factories:\n  {other}\n  {cls}\nRegister one of them under "
    "another name."
)
_SAME_CLASS_NAME = (
    "'{group}={other_name}' and '{group}={name}' are classes with the same name in one module, "
    "where only the last can be found again:\n  {other}\n  {cls}\nRename one of the classes."
)
_TWO_INTERFACES = (
    "The group '{group}' would have two interfaces, so an option of one could be given a "
    "factory of the other:\n  {other}\n  {cls}\nGive one of them another group."
)
_RESERVED: Final = frozenset({"defaults", "hydra"})
_RESERVED_NAME = "{cls} has an option '{field}', a name that Hydra reserves. Choose another."
_GROUP_DEFAULT = (
    "{cls}.{field} has a factory of a group as its default, which nothing could then replace. "
    "Declare it without a default and name its usual member in a defaults list."
)
_BAD_NAME = "'{name}' cannot be the name of {cls}: use letters, digits, '_', '-' and '.' only."


class OptionError(UserError, ValueError):
    """The values of one factory or settings class break its bounds or rules.

    Attributes:
        owner: the name of the class.
        problems: (option, what is wrong), all of them; the option is "" for a rule on several.
    """

    def __init__(self, owner: str, problems: Sequence[tuple[str, str]]) -> None:
        self.owner = owner
        self.problems = tuple(problems)
        super().__init__(owner, self.problems)

    def __str__(self) -> str:
        return "\n".join(f"{self.owner}: {text}" for text in self.texts(""))

    def texts(self, key: str) -> list[str]:
        """The problems as sentences, every option named with its full key below `key`."""
        prefix = f"{key}." if key else ""
        sentences = (f"`{name}` {text}" if name else text for name, text in self.problems)
        return [_NAMED.sub(rf"{prefix}\1", sentence) for sentence in sentences]


@attrs.frozen(kw_only=True)
class Option:
    """What is declared about an option besides its type and default."""

    doc: str
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    choices: tuple[str, ...] | None = None
    harmless: bool = False

    @property
    def bounds(self) -> str:
        """The bounds as people write them: "≥ 0, < 1"; empty when there are none."""
        limits = (("≥", self.ge), (">", self.gt), ("≤", self.le), ("<", self.lt))
        return ", ".join(f"{sign} {_written(limit)}" for sign, limit in limits if limit is not None)

    def written_type(self, hint: Any) -> str:
        """The type and the bounds as people write them: "int ≥ 1", "path", "GELU | RELU | null"."""
        if self.choices is not None:
            return " | ".join(self.choices)
        text = hints.written(hint)
        if not self.bounds:
            return text
        return f"{text}, {self.bounds}" if "|" in text else f"{text} {self.bounds}"

    def problem(self, value: object) -> str | None:
        """What is wrong with `value` (a number, or a container of numbers), or None."""
        if isinstance(value, str) and self.choices is not None and value not in self.choices:
            return f"cannot be '{value}'. {did_you_mean(value, self.choices)}"
        if isinstance(value, dict):
            return self._first_problem(cast("dict[object, object]", value).values())
        if isinstance(value, list | tuple):
            return self._first_problem(cast("Sequence[object]", value))
        if isinstance(value, bool) or not isinstance(value, int | float) or self._holds(value):
            return None
        if not isinstance(value, int) and not math.isfinite(value):
            demand = f"a finite number{self.bounds and f' {self.bounds}'}"
        else:
            demand = self.bounds if self._fits(value) or self.le else "a 64-bit number"
        return f"must be {demand}, got {value}"

    def _holds(self, value: float) -> bool:
        return (
            (isinstance(value, int) or math.isfinite(value))  # an int may be too large for a float
            and (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
            and self._fits(value)
        )

    def _fits(self, value: float) -> bool:
        """Whether torch and NumPy can hold it; a larger bound means that it is not for them."""
        return not isinstance(value, int) or abs(value) <= max(_MAX_INT, self.le or 0)

    def _first_problem(self, values: Iterable[object]) -> str | None:
        return next((text for value in values if (text := self.problem(value))), None)


def _written(limit: float) -> str:
    return str(limit) if isinstance(limit, int) else f"{limit:g}"


def option(
    *,
    doc: str,
    default: Any = dataclasses.MISSING,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    choices: Sequence[str] | None = None,
    harmless: bool = False,
) -> Any:
    """Declare an option of a factory.

    Args:
        doc: a one-line description, with the unit; `--help` shows it.
        default: the value if nothing is chosen; without one the option must be given. A list or
            dictionary is copied for every instance.
        ge: the smallest value allowed; bounds also apply to every number in a list or dictionary.
        gt: what the value must be greater than.
        le: the largest value allowed.
        lt: what the value must be less than.
        choices: the strings that are allowed, where the type cannot say so.
        harmless: whether it changes how or where a run is made, but not what it computes; a run
            may be resumed with another value.

    Raises:
        TypeError: `doc` is empty.
    """
    if not doc.strip():
        raise TypeError("option(doc=…) must say in one line what the option is.")
    described = Option(
        doc=" ".join(doc.split()),
        ge=ge,
        gt=gt,
        le=le,
        lt=lt,
        choices=None if choices is None else tuple(choices),
        harmless=harmless,
    )
    metadata = {_METADATA_KEY: described}
    if isinstance(default, list | dict):
        template: Any = default  # pyright: ignore[reportUnknownVariableType]  # any container
        return dataclasses.field(
            default_factory=lambda: type(template)(template), metadata=metadata
        )
    return dataclasses.field(default=default, metadata=metadata)


def full_key(key: str, name: str) -> str:
    """The full key of the option `name` under `key`, which is "" at the top level."""
    return f"{key}.{name}" if key else name


def described(field: "dataclasses.Field[Any]") -> Option:
    """The declaration of an option, from its dataclass field."""
    return field.metadata[_METADATA_KEY]


class Settings:
    """Base of everything that a configuration holds: frozen, keyword-only, documented options."""

    config_group: ClassVar[str | None] = None
    config_choice: ClassVar[str | None] = None
    defined_at: ClassVar[str | None] = None
    """File and line, for factories and for the interface of each group."""

    def __init_subclass__(cls, *, group: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if group is not None:
            cls.config_group = group
            cls.defined_at = _caller()

    def __post_init__(self) -> None:
        wrong = {
            field.name: text
            for field in dataclasses.fields(self)  # pyright: ignore[reportArgumentType]  # every subclass is a dataclass
            if (text := described(field).problem(getattr(self, field.name)))
        }
        problems = [*wrong.items(), *broken_rules(self, wrong)]
        if problems:
            raise OptionError(type(self).__name__, problems)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with combinations of options, one sentence each.

        An option in backticks, "`epochs`", is shown to the user with its full key.
        """
        yield from ()

    def preflight(self) -> None:
        """Check, before any data are read, what only the heavy libraries can tell.

        Raises:
            UserError: a name that the library does not know, say.
        """


def broken_rules(values: Settings, wrong: Collection[str]) -> Iterator[tuple[str, str]]:
    """Broken rules between options, except those that follow from wrong options.

    Args:
        values: the options; those that are wrong may be missing.
        wrong: the options that are wrong by themselves.

    Yields:
        Problems as `OptionError` takes them.
    """
    try:
        for text in values.problems():
            if not set(_NAMED.findall(text)) & set(wrong):
                yield "", text
    except Exception:
        # A rule may trip over an option of a wrong type, which is reported when it runs.
        if not wrong and not mistyped(values):
            raise


def mistyped(settings: Settings, key: str = "") -> dict[str, str]:
    """Values of the wrong type, by full key, with a sentence each.

    OmegaConf checks composed configurations; this is for values given in Python.
    """
    types = get_type_hints(type(settings))
    wrong: dict[str, str] = {}
    for field in dataclasses.fields(cast("Any", settings)):
        value, hint = getattr(settings, field.name), types[field.name]
        full = full_key(key, field.name)
        if not hints.fits(value, hint):
            wrong[full] = f"{full} {hints.demand(value, hint)}"
            continue
        for place, part in _settings_in(value, full):
            wrong |= mistyped(part, place)
    return wrong


def _settings_in(value: object, key: str) -> Iterator[tuple[str, Settings]]:
    """Settings with their full keys: the value itself, or the members of a list."""
    if isinstance(value, Settings):
        yield key, value
    elif isinstance(value, list | tuple):
        for index, member in enumerate(cast("Sequence[object]", value)):
            yield from _settings_in(member, f"{key}[{index}]")


def _make(cls: type[T]) -> type[T]:
    """The frozen dataclass of `cls`, after its declarations were checked."""
    name = cls.__name__
    if not (cls.__doc__ or "").strip():
        raise TypeError(_NO_CLASS_DOC.format(cls=name))
    for field, annotation in inspect.get_annotations(cls).items():
        is_class_var = get_origin(annotation) is ClassVar or "ClassVar" in str(annotation)
        if is_class_var:
            continue
        if field in _RESERVED:
            raise TypeError(_RESERVED_NAME.format(cls=name, field=field))
        if any(_is_dict_of_options(kind) for kind in hints.alternatives(annotation)):
            raise TypeError(_DICT_OF_OPTIONS.format(cls=name, field=field))
        declared = cls.__dict__.get(field)
        if not (isinstance(declared, dataclasses.Field) and _METADATA_KEY in declared.metadata):
            raise TypeError(_NO_DOC.format(cls=name, field=field))
        if getattr(cast("Any", declared).default, "config_group", None) is not None:
            raise TypeError(_GROUP_DEFAULT.format(cls=name, field=field))
    return dataclasses.dataclass(frozen=True, kw_only=True)(cls)


def _is_dict_of_options(annotation: Any) -> bool:
    members = get_args(annotation) if get_origin(annotation) is dict else ()
    return any(inspect.isclass(one) and issubclass(one, Settings) for one in members)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
def settings(cls: type[T]) -> type[T]:
    """Make a frozen class of options; also for the interface that a group's factories share.

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
        missing = sorted(getattr(made, "__abstractmethods__", ()))
        if missing:
            raise TypeError(_NO_BUILD.format(cls=cls.__name__, missing=" and ".join(missing)))
        options = {field.name for field in dataclasses.fields(made)}  # pyright: ignore[reportArgumentType]  # made by dataclass()
        build = getattr(made, "build", None)
        for argument in () if build is None else inspect.signature(build).parameters:
            if argument in options:
                raise TypeError(_COLLISION.format(cls=cls.__name__, name=argument))
        made.defined_at = _caller()
        _register(group, name, made)
        return made

    return register


def _register(group: str, name: str, cls: type[Settings]) -> None:
    members = CONFIG_GROUPS.setdefault(group, {})

    def refuse(reason: str, other: type[Settings], mine: type[Settings], **names: str) -> None:
        places = {"other": _described_place(other), "cls": _described_place(mine)}
        raise TypeError(reason.format(group=group, name=name, **places, **names))

    for other_name, other in members.items():
        # The same class may be registered again: a notebook cell run twice, or a script that is
        # imported by name.
        is_same = _is_same_class(other, cls)
        if other_name == name and not is_same:
            refuse(_TAKEN, other, cls)
        # Pickle, which sends jobs to other processes, finds a class by its module and name.
        if other_name != name and is_same and _source_file(cls) and "<locals>" not in str(cls):
            refuse(_SAME_CLASS_NAME, other, cls, other_name=other_name)
        if not _is_same_class(_interface(other), _interface(cls)):
            refuse(_TWO_INTERFACES, _interface(other), _interface(cls))
    members[name] = cls
    cls.config_choice = name


def _is_same_class(one: type[Settings], other: type[Settings]) -> bool:
    """Whether two classes come from one definition that was run twice."""
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


def _caller() -> str:
    """File and line of the code that is defining a class."""
    frame = inspect.currentframe()
    while frame and frame.f_globals.get("__name__") in (__name__, "abc"):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "an unknown place"


def type_argument(cls: type[Settings], position: int = 0) -> Any:
    """The type that a factory gave to its interface: `ImageDims` for `ModelFactory[ImageDims]`.

    Returns:
        The type, a union of types, or None when the interface was not subscripted.
    """
    for base in cls.__mro__:
        for parent in base.__dict__.get("__orig_bases__", ()):
            arguments = get_args(parent)
            origin = get_origin(parent)
            if (
                len(arguments) > position
                and isinstance(origin, type)
                and issubclass(origin, Settings)
                and not isinstance(arguments[position], TypeVar)
            ):
                return arguments[position]
    return None


def group_of(hint: Any) -> str | None:
    """The group whose members an option of this type takes, `Kind` or `Kind | None`, or None."""
    groups = (getattr(kind, "config_group", None) for kind in hints.alternatives(hint))
    return next((group for group in groups if group is not None), None)


def name_of(cls: type[Settings]) -> str | None:
    """The name under which a factory is registered in its group, or None."""
    # Its own, not an inherited one. The class knows it, and not only the register: in a process
    # that a launcher starts, a class of the script itself arrives although the script has not run.
    return cls.__dict__.get("config_choice")


def choice(group: str, key: str) -> str:
    """What chooses a member of a group for the option `key`: `aug`, or `aug@train_aug`."""
    return group if key == group else f"{group}@{key}"


def summary(cls: type[Any]) -> str:
    """The first sentence of a class's docstring, on one line."""
    paragraph = inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0]
    return " ".join(paragraph.split())
