"""The classes that hold options: frozen, keyword-only, and checked when instantiated."""

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from types import NoneType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from runwright import hints
from runwright.errors import Disagreement, UserError
from runwright.factory.construction import LazySignature, fill
from runwright.factory.option import described, full_key

_NAMED: Final = re.compile(r"`([^`]+)`")  # an option, in a sentence of `problems()`
# Modules whose frames lie between a class definition and `place_of_definition`.
_INNER_FRAMES: Final = (__name__, "runwright.factory.register", "abc")


class OptionError(UserError, ValueError):
    """The values of one factory or settings class break its bounds or rules.

    Attributes:
        owner: the name of the class.
        problems: all of them, as (option, what is wrong); for a rule on several, option is "".
    """

    def __init__(self, owner: str, problems: Sequence[tuple[str, str]]) -> None:
        self.owner = owner
        self.problems = tuple(problems)
        super().__init__(owner, self.problems)

    def __str__(self) -> str:
        return "\n".join(f"{self.owner}: {text}" for text in self.texts(""))

    def texts(self, key: str) -> list[str]:
        """The problems as sentences, with the full key of every option, below `key`."""
        prefix = f"{key}." if key else ""
        sentences = (f"`{name}` {text}" if name else text for name, text in self.problems)
        return [type(said)(_NAMED.sub(rf"{prefix}\1", said)) for said in sentences]


class Settings:
    """Base of everything that a configuration holds: frozen, keyword-only, documented options."""

    config_group: ClassVar[str | None] = None
    config_choice: ClassVar[str | None] = None
    chosen_as: ClassVar[str | None] = None
    """On an instance: the name of the file that it was chosen by, if not by the factory's."""
    defined_at: ClassVar[str | None] = None
    """File and line, for factories and for the interface of each group."""
    is_whole: ClassVar[bool] = False
    """Whether it is everything that determines a run, so that rules between its parts are asked."""
    is_open: ClassVar[bool] = False
    """Whether files may have keys of their own beside the options; see `with_own_keys`."""

    def __init_subclass__(
        cls, *, group: str | None = None, is_open: bool | None = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        if is_open is not None:
            cls.is_open = is_open
        if group is not None:
            cls.config_group = group
            cls.defined_at = place_of_definition()

    # Frozen by hand. From a dataclass with `frozen=True`, OmegaConf makes read-only nodes, into
    # whose lists nothing can be composed; and the methods that `dataclass` generates and compiles
    # for each class would take most of the start-up time.
    if (
        not TYPE_CHECKING
    ):  # which the decorators tell what the options are, and that they are frozen
        __signature__ = LazySignature()

        def __init__(self, **options: Any) -> None:
            fill(self, options)
            self.__post_init__()

        def __setattr__(self, name: str, value: object) -> None:
            if name in self.__dict__ or name not in self.__dataclass_fields__:
                raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
            object.__setattr__(self, name, value)

        def __delattr__(self, name: str) -> None:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return self._values() == cast("Settings", other)._values()

    def __hash__(self) -> int:
        return hash((type(self), _hashable(self._values())))

    def __repr__(self) -> str:
        names = (field.name for field in dataclasses.fields(cast("Any", self)))
        values = zip(names, self._values(), strict=True)
        return f"{type(self).__qualname__}({', '.join(f'{n}={v!r}' for n, v in values)})"

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, f.name) for f in dataclasses.fields(cast("Any", self)))

    def __post_init__(self) -> None:
        wrong = {
            field.name: text
            for field in dataclasses.fields(cast("Any", self))
            if (text := described(field).problem(getattr(self, field.name)))
        }
        problems = [*wrong.items(), *broken_rules(self, wrong)]
        if problems:
            raise OptionError(type(self).__name__, problems)

    def problems(self) -> Iterator[str]:
        """Yield a sentence for every combination of options that is not allowed.

        An option in backticks, "`epochs`", is shown to the user with its full key.
        """
        yield from ()

    def problems_in(self, config: Any) -> Iterator[str]:
        """Yield what is wrong with this among all the others, one sentence each.

        Of the options in backticks, "`width` needs `dm.size`", those of this are shown with its
        full key, and others are full keys themselves. What a rule looks at may be of any class, as
        any may be chosen: `if isinstance(config.dm, MyData) and …`.

        Args:
            config: the whole, a `Config`.
        """
        del config
        yield from ()

    def preflight(self) -> None:
        """Check, before any data are read, what only the heavy libraries know.

        Raises:
            UserError: something is wrong, e.g. a name that the library does not know.
        """


def _hashable(value: Any) -> Any:
    """A hashable value that compares as this one does."""
    if isinstance(value, list | tuple):
        return tuple(map(_hashable, cast("Sequence[Any]", value)))
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return frozenset((key, _hashable(member)) for key, member in items)
    return value


def broken_rules(values: Settings, wrong: Collection[str]) -> Iterator[tuple[str, str]]:
    """Broken rules between options, except for rules about options that are wrong themselves.

    Args:
        values: the options; wrong ones may be missing.
        wrong: the options that are wrong by themselves.

    Yields:
        Problems as `OptionError` takes them.
    """
    rules = [values.problems, *(_rules_between(values) if values.is_whole else ())]
    for rule in rules:
        yield from _broken(rule, values, wrong)


def _rules_between(values: Settings) -> Iterator[Callable[[], Iterator[str]]]:
    """The rules of all parts of a whole, some of which may be missing."""
    for name, value in vars(values).items():
        for key, part in _parts(value, name):
            if type(part).problems_in is not Settings.problems_in:
                yield functools.partial(_rule_between, part, key, values)


def _parts(value: object, key: str) -> Iterator[tuple[str, Settings]]:
    """What has options of its own, at any depth, with its full key."""
    for place, part in settings_in(value, key):
        yield place, part
        for name, below in vars(part).items():
            yield from _parts(below, full_key(place, name))


def _rule_between(part: Settings, key: str, values: Settings) -> Iterator[str]:
    own = {field.name for field in dataclasses.fields(cast("Any", part))}

    def full(named: "re.Match[str]") -> str:
        is_own = named[1].partition(".")[0] in own
        return f"`{full_key(key, named[1])}`" if is_own else named[0]

    said: Any = part.problems_in(values)
    for text in [said] if isinstance(said, str) else said or ():  # or what was not yielded
        yield Disagreement(_NAMED.sub(full, text))


def _broken(
    rule: Callable[[], Iterator[str]], values: Settings, wrong: Collection[str]
) -> Iterator[tuple[str, str]]:
    try:
        for text in rule():
            named = set(_NAMED.findall(text))
            if not (named | {name.partition(".")[0] for name in named}) & set(wrong):
                yield "", text
    except Exception:
        # A rule may fail because an option has the wrong type, which is reported elsewhere.
        if not wrong and not mistyped(values):
            raise


def mistyped(settings: Settings, key: str = "") -> dict[str, str]:
    """A sentence for every value of the wrong type, by full key.

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
        for place, part in settings_in(value, full):
            wrong |= mistyped(part, place)
    return wrong


def settings_in(value: object, key: str) -> Iterator[tuple[str, Settings]]:
    """The settings in a value, with their full keys: itself, or members of a container."""
    if isinstance(value, Settings):
        yield key, value
    elif isinstance(value, list | tuple):
        for index, member in enumerate(cast("Sequence[object]", value)):
            yield from settings_in(member, full_key(key, str(index)))
    elif isinstance(value, dict):
        for name, member in cast("dict[object, object]", value).items():
            yield from settings_in(member, full_key(key, str(name)))


def all_settings(settings: Settings) -> Iterator[Settings]:
    """Settings and all settings within them, including members of groups and entries of lists."""
    yield settings
    for field in dataclasses.fields(cast("Any", settings)):
        for _, within in settings_in(getattr(settings, field.name), ""):
            yield from all_settings(within)


def type_argument(cls: type[Settings], position: int = 0) -> Any:
    """The type argument of a factory's interface: `ImageDims` for `ModelFactory[ImageDims]`.

    Returns:
        The type, a union of types, or None if the interface was not subscripted.
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


def is_settings(hint: Any) -> bool:
    """Whether an option of this type holds options of its own, or null."""
    kinds = [kind for kind in hints.alternatives(hint) if kind is not NoneType]
    return all(isinstance(kind, type) and issubclass(kind, Settings) for kind in kinds)


def name_of(cls: type[Settings]) -> str | None:
    """The name under which a factory is registered in its group, or None."""
    # Its own, not an inherited one. It is kept on the class, because a process that a launcher
    # starts may receive a class of the script without having run the script.
    return cls.__dict__.get("config_choice")


def choice(group: str, key: str) -> str:
    """How to choose a member of a group for the option `key`: `aug`, or `aug@train_aug`."""
    return group if key == group.replace("/", ".") else f"{group}@{key}"


def usual_members(cls: type[Settings], above: str = "") -> Iterator[tuple[str, str, str]]:
    """The options of a class that have a usual member: (key, group, name of the member).

    Options of settings within it are included, those of members of groups are not.
    """
    types: dict[str, Any] = {}
    for field in dataclasses.fields(cast("Any", cls)):
        key, usual = full_key(above, field.name), described(field).usual
        if usual is None and isinstance(field.type, type) and not issubclass(field.type, Settings):
            continue
        types = types or get_type_hints(cls)
        if usual is not None:
            group = group_of(types[field.name])
            assert group is not None
            yield key, group, usual
        elif is_settings(hint := types[field.name]) and group_of(hint) is None:
            yield from usual_members(hint, key) if isinstance(hint, type) else ()


def summary(cls: type[Any]) -> str:
    """The first sentence of a class's docstring, on one line."""
    paragraph = inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0]
    return " ".join(paragraph.split())


def place_of_definition() -> str:
    """File and line of the code that is defining a class."""
    frame = inspect.currentframe()
    while frame and frame.f_globals.get("__name__") in _INNER_FRAMES:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "an unknown place"
