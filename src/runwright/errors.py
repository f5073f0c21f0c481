"""What a user is told when something is wrong, and with which exit status the program ends.

A `UserError` is a mistake that the user can fix: its text is printed without a traceback and
the program exits with status 2. A `RunError` is a run that failed although the configuration is
right (a loss that is not finite), or whose fault the configuration alone cannot show (a batch for
which there is too little memory): its text is printed and the status is 1. Every other
exception is a bug and keeps its traceback.
"""

import traceback
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

_MOST_NAMES: Final = 40


class _Sentence(BaseException):
    """An exception whose text says it all: a notebook shows that, and no traceback.

    The method is how IPython asks an exception for what to show of it.
    """

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class UserError(_Sentence, Exception):
    """A mistake of the user's: what is wrong, where, what is allowed, and the next step."""


class Disagreement(str):
    """A sentence on parts of a configuration that do not go together, but each with others."""

    __slots__ = ()


class NotGiven(str):
    """A sentence on an option that has no default and was not given, or not chosen."""

    __slots__ = ()


class NameTakenError(UserError, TypeError):
    """Two things have the same name: of installed packages, whose authors know nothing of it."""


class RunError(_Sentence, Exception):
    """A run that failed for a reason that the message explains in full."""


class Interrupted(_Sentence, KeyboardInterrupt):
    """Ctrl-C, or a notebook's button for it, after a run has ended as it should."""

    def __str__(self) -> str:
        return "Interrupted."


class JobsGoOn(KeyboardInterrupt):
    """Ctrl-C while jobs run elsewhere; they keep running without this process."""


class ConfigError(UserError):
    """Every mistake of one configuration, reported together.

    Attributes:
        problems: one self-contained text per mistake, without duplicates.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__(self.problems)  # as its arguments, so that the error survives pickling

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        listed = "\n".join(f"{i}. {text}" for i, text in enumerate(self.problems, start=1))
        return f"The configuration has {len(self.problems)} mistakes:\n{listed}"


def told(error: BaseException) -> str:
    """What is said of an error where its traceback is not shown."""
    if isinstance(error, UserError | RunError):
        return str(error)
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def nearest(name: str, known: Iterable[str], cutoff: float = 0.55) -> str | None:
    """The known name that `name` was most likely meant to be, or None.

    Args:
        name: what was written.
        known: the names that exist.
        cutoff: how similar they must be, from 0 to 1.
    """
    if not name:
        return None
    by_folded = {candidate.casefold(): candidate for candidate in sorted(known, key=len)}
    if begun := [folded for folded in by_folded if folded.startswith(name.casefold())]:
        return by_folded[begun[0]]
    matches = get_close_matches(name.casefold(), by_folded, n=1, cutoff=cutoff)
    return by_folded[matches[0]] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence with the nearest known name and all allowed ones, or of very many the first."""
    known = sorted(known)
    closest = nearest(name, known)
    hint = f"Did you mean '{closest}'? " if closest else ""
    shown = ", ".join(known[:_MOST_NAMES])
    if len(known) > _MOST_NAMES:
        shown += f", … ({len(known):,} in all)"
    return f"{hint}Allowed: {shown}." if known else hint.strip()


def free_variables(error: BaseException) -> None:
    """Free the local variables that an exception's traceback holds: model, data, optimiser.

    Whatever keeps the exception, as Hydra does until the last job has ended, would keep them too.
    The lines of its traceback stay.
    """
    seen: set[int] = set()
    behind: list[BaseException | None] = [error]
    while behind:
        one = behind.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        traceback.clear_frames(one.__traceback__)
        behind += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            behind += one.exceptions
