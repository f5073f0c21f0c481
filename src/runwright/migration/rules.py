"""What becomes of a setting of another program: an equal here, no effect there, or neither."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, cast

import attrs

_REQUIRED: Final = object()


@attrs.frozen
class Taken:
    """A setting has become options here.

    Attributes:
        options: full key → value.
        note: what to know about it.
    """

    options: Mapping[str, Any]
    note: str = ""


@attrs.frozen
class Inert:
    """A setting has no effect on a run of the original."""

    why: str


@attrs.frozen
class NoEqual:
    """A setting has an effect that nothing has here.

    Attributes:
        why: what it does in the original, or what is done here.
        way: what to do about it.
        options: what comes nearest; full key → value.
    """

    why: str
    way: str
    options: Mapping[str, Any] = {}


Fate: TypeAlias = Taken | Inert | NoEqual


class Original:
    """A merged configuration of the original: nested dictionaries of plain values."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a full key such as `training.lr`."""
        node: Any = self.values
        for name in key.split("."):
            if not isinstance(node, Mapping) or name not in node:
                return default
            node = cast("Mapping[str, Any]", node)[name]
        return node

    def has(self, key: str) -> bool:
        """Whether there is such a key."""
        return self.get(key, _REQUIRED) is not _REQUIRED


@attrs.frozen
class Rule:
    """What becomes of one setting of the original, with all that is below it.

    Attributes:
        key: its full key.
        decide: what becomes of its value, given the whole configuration.
        absent: the value that the original takes where the key is not given.
    """

    key: str
    decide: Callable[[Any, Original], Fate]
    absent: Any = _REQUIRED

    @classmethod
    def taken(
        cls,
        key: str,
        to: str,
        *,
        absent: Any = _REQUIRED,
        convert: Callable[[Any], Any] = lambda value: value,
        note: str = "",
    ) -> "Rule":
        """A setting that is the option `to` here, with the same or a converted value."""
        return cls(key, lambda value, _: Taken({to: convert(value)}, note), absent)

    @classmethod
    def inert(cls, key: str, why: str) -> "Rule":
        """A setting that has no effect in the original, whatever its value."""
        return cls(key, lambda _value, _: Inert(why))

    @classmethod
    def only(cls, key: str, *usual: Any, why: str, way: str) -> "Rule":
        """A setting of which only these values have an equal, which needs no option here."""

        def decide(value: Any, _: Original) -> Fate:
            return Taken({}) if value in usual else NoEqual(why, way)

        return cls(key, decide)

    def fate(self, original: Original) -> Fate | None:
        """What becomes of the setting; None if it is not given and has no value without that."""
        if self.absent is _REQUIRED and not original.has(self.key):
            return None
        return self.decide(original.get(self.key, self.absent), original)
