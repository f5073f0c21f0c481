"""Overrides that Hydra's grammar does not take as they were meant, and how to write them."""

import re
import shlex
from typing import Final

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import GrammarParseError

from runwright.errors import UserError

_FORM: Final = "An override is written key=value, without blanks around the '='."


def parse_override(text: str, *, before: str | None = None) -> Override:
    """Read an override.

    Args:
        text: the override.
        before: the one before it on the command line.

    Raises:
        UserError: Hydra's grammar does not take it; says how to quote it.
    """
    if "=" not in text and not text.startswith("~"):
        raise UserError(f"{text}: this gives no option a value. {_next_step(text, before)}")
    try:
        parsed = _parsed(text)
    except HydraException as error:
        said = f"{text}: Hydra cannot read this: {error}."
        raise UserError(f"{said}\n{_next_step(text, before)}") from error
    if not parsed.key_or_group:
        raise UserError(f"{text}: what is before the '=' is missing. {_FORM}")
    return parsed


def several_values(text: str, *, is_choice: bool, from_shell: bool = True) -> str:
    """The message for several values where only one can be taken.

    Args:
        text: the override.
        is_choice: whether it can only be meant as such: it chooses a member of a group, or has no
            mere commas between the values.
        from_shell: whether it was typed in a shell, and not in Python.
    """
    way = "To run with each of them, add --multirun."
    if not from_shell:
        way = "compose makes one configuration; call it with each of them."
    said = f"{text}: these are several values. {way}"
    if is_choice:
        return said
    key, _, value = text.partition("=")
    written = shlex.quote if from_shell else repr
    as_list, as_text = written(f"{key}=[{value}]"), written(_with_text(key, value))
    return f"{said} As a list they are written {as_list}, as one text {as_text}."


def quoted(key: str, value: str) -> str:
    """An override whose value is text: in quotes for Hydra, within quotes for the shell."""
    return shlex.quote(_with_text(key, value))


def _with_text(key: str, value: str) -> str:
    try:
        OmegaConf.create([value])
    except GrammarParseError:  # a "${" that begins no interpolation
        value = value.replace("${", r"\${")
    return f"{key}={QuotedString(value, Quote.double).with_quotes()}"


def with_path(key: str, path: str) -> str:
    """An override whose value is a path, in quotes where Hydra's grammar would need them."""
    if re.fullmatch(r"[A-Za-z0-9_/.\-]+", path):
        return f"{key}={path}"
    return f"{key}={QuotedString(path, Quote.single).with_quotes()}"


def _next_step(text: str, before: str | None) -> str:
    key, equals, value = text.partition("=")
    if equals and _is_read(f"{key}=1"):
        if elements := _as_list(key, value):
            return f"If texts in the list are meant so, quote each: {shlex.quote(elements)}"
        said = f"If {value} is meant as text, quote it, and all of it again for the shell:"
        return f"{said} {quoted(key, value)}"
    if equals or not before or not before.partition("=")[2]:
        return _FORM
    whole = f"{before} {text}"  # the shell ends an argument at a blank
    written = shlex.quote(whole) if _is_read(whole) else quoted(*whole.split("=", 1))
    return f"{_FORM} If {text} belongs to what is before it, quote both together: {written}"


def _as_list(key: str, value: str) -> str | None:
    """The override with every element in quotes that needs them; None if it is no such list."""
    if not (value.startswith("[") and value.endswith("]")):
        return None
    elements = [one.strip() for one in value[1:-1].split(",")]
    written = (one if _is_read(f"{key}={one}") else f'"{one}"' for one in elements)
    attempt = f"{key}=[{','.join(written)}]"
    return attempt if _is_read(attempt) else None


def _is_read(text: str) -> bool:
    try:
        _parsed(text)
    except HydraException:
        return False
    return True


def _parsed(text: str) -> Override:
    return OverridesParser.create().parse_override(text)
