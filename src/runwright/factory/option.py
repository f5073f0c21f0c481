"""The declaration of an option: its description, bounds, and usual member."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

import attrs

from runwright import hints
from runwright.errors import did_you_mean

_METADATA_KEY: Final = "runwright"
_MAX_INT: Final = 2**63 - 1

KeysOf: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, str]]
"""From the options of a class to the keys of a dictionary, each with what it needs."""


@attrs.frozen(kw_only=True)
class Option:
    """The declaration of an option, apart from its type and default; see `option`."""

    doc: str
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    choices: tuple[str, ...] | None = None
    harmless: bool = False
    usual: str | None = None
    keys: KeysOf | None = None
    follows: str | None = None

    @property
    def bounds(self) -> str:
        """The bounds as text, e.g. "≥ 0, < 1"; empty if there are none."""
        limits = (("≥", self.ge), (">", self.gt), ("≤", self.le), ("<", self.lt))
        return ", ".join(f"{sign} {_written(limit)}" for sign, limit in limits if limit is not None)

    def written_type(self, hint: Any) -> str:
        """The type and the bounds as text, e.g. "int ≥ 1", "path", "GELU | RELU | null"."""
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
        """Whether torch and NumPy can hold it; a larger bound means that they need not."""
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
    usual: str | None = None,
    keys: KeysOf | None = None,
    follows: str | None = None,
) -> Any:
    """Declare an option of a factory.

    Args:
        doc: a one-line description, with the unit; `--help` shows it.
        default: the default value; without one, the option must be given. A list or dictionary is
            copied for every instance.
        ge: the smallest value allowed; bounds also apply to every number in a list or dictionary.
        gt: what the value must be greater than.
        le: the largest value allowed.
        lt: what the value must be less than.
        choices: the strings that are allowed, where the type cannot say so.
        harmless: whether it affects only how or where a run is computed, not the result, so that a
            run may be resumed with another value.
        usual: for an option that takes a member of a group: the name of the default member.
        keys: for a dictionary that takes certain keys only: gets the plain options of the class,
            and returns all keys, each with what else must be given for it ("size=large"), or "".
            Called only to explain an unknown name, so it may import what is slow to import.
        follows: the full key of another option, `model.cell_set_len`. Where what is chosen has it,
            its value is the default in a composed configuration.

    Raises:
        TypeError: `doc` is empty, there are both a default and a usual member, or an option that
            follows another one has no default that is a number.
    """
    if not doc.strip():
        raise TypeError("option(doc=…) must describe the option in one line.")
    described = Option(
        doc=" ".join(doc.split()),
        ge=ge,
        gt=gt,
        le=le,
        lt=lt,
        choices=None if choices is None else tuple(choices),
        harmless=harmless,
        usual=usual,
        keys=keys,
        follows=follows,
    )
    if follows is not None and not isinstance(default, int | float):
        raise TypeError("option(follows=…) needs a default that is a number.")
    metadata = {_METADATA_KEY: described}
    if usual is not None:
        if default is not dataclasses.MISSING:
            raise TypeError("option(…) takes either default=… or usual=…, not both.")
        return dataclasses.field(default_factory=UsualMember(usual), metadata=metadata)
    if isinstance(default, list | dict):
        template: Any = default  # pyright: ignore[reportUnknownVariableType]  # any container
        return dataclasses.field(
            default_factory=lambda: type(template)(template), metadata=metadata
        )
    return dataclasses.field(default=default, metadata=metadata)


class UsualMember:
    """Makes the usual member of an option's group, with its own defaults.

    Attributes:
        name: the name of the member.
        make: makes it; set by the decorator of the class that has the option.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.make: Callable[[], Any] | None = None

    def __call__(self) -> Any:
        """Make one.

        Raises:
            UserError: there is no such member.
        """
        assert self.make is not None, "set by the decorator of the class"
        return self.make()


def full_key(key: str, name: str) -> str:
    """The full key of the option `name` below `key`, which is "" at the top level."""
    return f"{key}.{name}" if key else name


def described(field: "dataclasses.Field[Any]") -> Option:
    """The declaration of an option, from its dataclass field."""
    return field.metadata[_METADATA_KEY]


def is_declared(field: object) -> bool:
    """Whether an attribute of a class body was made by `option(…)`."""
    return isinstance(field, dataclasses.Field) and _METADATA_KEY in field.metadata
