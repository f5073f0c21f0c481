"""Patterns for names of tensors and modules: a substring, or a regular expression after `re:`."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from runwright.errors import did_you_mean

REGEX: Final = "re:"
_MOST_SHOWN: Final = 12


@attrs.frozen
class NamePattern:
    """A pattern as it is written in a configuration.

    Attributes:
        text: `encoder.` matches every name that contains it; after `re:` comes a regular
            expression, which is searched for anywhere in the name.
    """

    text: str

    def problem(self) -> str | None:
        """What is wrong with the pattern itself, or None."""
        if not self.text.removeprefix(REGEX):
            return "is empty and would match every name"
        try:
            self._compiled()
        except re.error as error:
            return f"is not a valid regular expression: {error}"
        return None

    def matches(self, name: str) -> bool:
        """Whether the name contains a match."""
        return self._compiled().search(name) is not None

    def replaced(self, new: str, name: str) -> str:
        r"""The name with every match replaced by `new`; after `re:`, `\1` is the first group."""
        if self.text.startswith(REGEX):
            return self._compiled().sub(new, name)
        return name.replace(self.text, new)

    def replacement_problem(self, new: str) -> str | None:
        """What is wrong with `new` as a replacement; None if nothing is."""
        if not self.text.startswith(REGEX):
            return None
        try:
            re.sub(f"{self.text.removeprefix(REGEX)}|", new, "")  # matches "", groups unmatched
        except (re.error, IndexError) as error:
            return f"cannot be replaced by '{new}': {error}"
        return None

    def _compiled(self) -> re.Pattern[str]:
        if self.text.startswith(REGEX):
            return re.compile(self.text.removeprefix(REGEX))
        return re.compile(re.escape(self.text))


def problems_of_patterns(name: str, patterns: Iterable[str]) -> Iterator[str]:
    """What is wrong with patterns whatever the names, as `Settings.problems` puts it."""
    for text in patterns:
        if (problem := NamePattern(text).problem()) is not None:
            yield f"`{name}`: '{text}' {problem}"


def unmatched(texts: Iterable[str], names: Iterable[str], what: str) -> list[str]:
    """A sentence for every pattern that matches none of the names, with the nearest one.

    Args:
        texts: the patterns.
        names: the names.
        what: what they are names of, e.g. "parameter of the model".
    """
    names = list(names)
    parts = {".".join(n.split(".")[:k]) for n in names for k in range(1, n.count(".") + 2)}
    tops = sorted({name.split(".")[0] for name in names})
    sentences: list[str] = []
    for text in texts:
        if any(NamePattern(text).matches(name) for name in names):
            continue
        plain = re.sub(r"[^\w.]", "", text.removeprefix(REGEX)).strip(".")
        hint = did_you_mean(plain, parts).partition(" Allowed:")[0]
        meant = f" {hint}" if hint.startswith("Did") else ""
        shown = ", ".join(tops[:_MOST_SHOWN]) + (", …" if len(tops) > _MOST_SHOWN else "")
        starts = f" Names start with {shown}." if tops else " There are none at all."
        sentences.append(f"'{text}' matches no {what}.{meant}{starts}")
    return sentences
