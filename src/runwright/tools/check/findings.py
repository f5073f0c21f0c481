"""What `check` has found: faults, which have to be fixed, and notes."""

from collections.abc import Sequence
from typing import Final

import attrs

_SHOWN: Final = 3


@attrs.define
class Findings:
    """What is to be reported at the end.

    Attributes:
        faults: text of what is wrong → where; the same mistake may show in many places.
        notes: what the user should know and need not fix.
    """

    faults: dict[str, list[str]] = attrs.field(factory=dict[str, list[str]])
    notes: list[str] = attrs.field(factory=list[str])

    def fault(self, place: str, text: str) -> None:
        """Add what is wrong at a place."""
        places = self.faults.setdefault(text.strip(), [])
        if place not in places:
            places.append(place)

    def note(self, text: str) -> None:
        """Add something worth knowing."""
        if text not in self.notes:
            self.notes.append(text)

    def fault_texts(self) -> list[str]:
        """One text a fault, which begins with its places."""
        return [f"{listed(places)}: {text}" for text, places in self.faults.items()]


def listed(places: Sequence[str]) -> str:
    """The first few places, and how many more there are."""
    shown = ", ".join(places[:_SHOWN])
    more = len(places) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
