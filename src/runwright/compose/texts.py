"""Quoting text that Hydra's grammar would read as a number, to keep it as it was typed.

Hydra sets its own options itself, and passes parsed values on to the jobs of a multirun: without
quotes, `wandb.name=1.10,1.1` would make two jobs with the number 1.1.
"""

import dataclasses
import re
from collections.abc import Iterable
from typing import Any, Final, cast

from hydra.core.override_parser.types import (
    IntervalSweep,
    Override,
    Quote,
    QuotedString,
    RangeSweep,
)
from omegaconf import DictConfig

from runwright.compose._omegaconf import child, raw_value
from runwright.compose.overrides import parse_override
from runwright.compose.typed_nodes import declared
from runwright.compose.values import as_typed, split
from runwright.errors import UserError

_OF_VALUES: Final = re.compile(r"\s*(choice|shuffle|sort|tag)\((.*)\)\s*")
_ARGUMENT: Final = re.compile(r"\s*reverse\s*=")
_ENQUEUED: Final = "hydra.sweeper.enqueue"
_EXTENDING: Final = re.compile(r"\s*extend_list\((.*)\)\s*")


def keep_texts(parsed: Iterable[Override], *, of_task: bool) -> list[Override]:
    """Overrides with quotes around text in those values that Hydra sets itself.

    Args:
        parsed: the overrides.
        of_task: whether to do so for the application's overrides too; that changes their record.
    """
    kept: list[Override] = []
    for one in parsed:
        is_hydras = one.key_or_group == "hydra" or one.is_hydra_override()
        if not (is_hydras or of_task) or one.is_delete() or one.package is not None:
            kept.append(one)
            continue
        key, _, text = str(one.input_line).partition("=")
        is_enqueued = one.key_or_group == _ENQUEUED
        quoted = _trials(text) if is_enqueued else _with_quotes(text, declared(one.key_or_group))
        changed = one if quoted == text else parse_override(f"{key}={quoted}")
        if is_hydras:
            changed = dataclasses.replace(changed, input_line=one.input_line)
        kept.append(changed)
    return kept


def keep_texts_of_params(composed: DictConfig) -> None:
    """Put quotes around text in a sweeper's `params`, in place."""
    sweeper: Any = composed.hydra.sweeper
    if not isinstance(sweeper, DictConfig):
        return
    conditional: Any = sweeper.get("when") or {}
    for params in (sweeper.get("params"), *conditional.values()):
        for key in params or ():
            text: Any = raw_value(node) if (node := child(params, key)) else None
            hint = declared(str(key).lstrip("+"))
            if isinstance(text, str) and (quoted := _with_quotes(text, hint)) != text:
                params[key] = quoted


def _trials(text: str) -> str:
    """A list of trials to enqueue, each with values by the key of their option."""
    if not (text.startswith("[") and text.endswith("]")):
        return text
    return f"[{','.join(_trial(one.strip()) for one in split(text[1:-1]))}]"


def _trial(text: str) -> str:
    if not (text.startswith("{") and text.endswith("}")):
        return text
    items = (one.partition(":") for one in split(text[1:-1]))
    return f"{{{','.join(f'{key}:{_of(key, value)}' for key, _, value in items)}}}"


def _of(key: str, value: str) -> str:
    return _with_quotes(value, declared(key.strip().lstrip("+")))


def _with_quotes(text: str, hint: Any, *, every: bool = False) -> str:
    """Quote those values in a text that would lose characters; with `every`, all strings."""
    if hint is None:
        return text
    if found := _EXTENDING.fullmatch(text):
        return f"extend_list({_with_quotes(f'[{found[1]}]', hint)[1:-1]})"
    if found := _OF_VALUES.fullmatch(text):
        parts = list(split(found[2]))
        quoted = [_with_quotes(part, hint) for part in parts]
        if found[1] == "sort" and quoted != parts:  # it compares them, so all must be strings
            quoted = [
                part if _ARGUMENT.match(part) else _with_quotes(part, hint, every=True)
                for part in parts
            ]
        return f"{found[1]}({','.join(quoted)})"
    parts = list(split(text))
    if len(parts) > 1:
        return ",".join(_with_quotes(part, hint) for part in parts)
    try:
        value: Any = parse_override(f"_={text}").value()
    except UserError:  # reported when composing
        return text
    typed = as_typed(value, text, hint)
    is_range = isinstance(value, RangeSweep | IntervalSweep)  # with NaN, not equal to itself
    is_kept = not every and (is_range or typed == as_typed(value, _written(value), hint))
    return text if is_kept else _written(typed)


def _written(value: Any) -> str:
    """A value in Hydra's grammar."""
    if isinstance(value, list):
        return f"[{','.join(map(_written, cast('list[Any]', value)))}]"
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return f"{{{','.join(f'{key}:{_written(member)}' for key, member in items)}}}"
    if isinstance(value, str):
        return QuotedString(value, Quote.single).with_quotes()
    return "null" if value is None else str(value)
