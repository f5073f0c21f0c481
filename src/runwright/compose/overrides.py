"""Overrides that Hydra's grammar does not read as they were meant, and how to write them."""

import math
import re
import shlex
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    Glob,
    IntervalSweep,
    Override,
    Quote,
    QuotedString,
    RangeSweep,
)
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import GrammarParseError

from runwright import hints
from runwright.compose._hydra import Repository
from runwright.compose.keys_twice import in_override
from runwright.compose.typed_nodes import declared
from runwright.errors import UserError
from runwright.factory import CONFIG_GROUPS
from runwright.plain import home_path

_PARAMS: Final = "hydra.sweeper.params"
_PATHS_OF_HYDRA: Final = frozenset(
    {
        *("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.sweeper.storage"),
        "hydra.launcher.submitit_folder",
    }
)
_KEYS: Final = (
    "A dictionary is written {key: value, …}. On the command line its keys cannot be quoted, nor "
    "have characters such as ^ and [: give such a dictionary in a YAML file."
)
_TOGETHER: Final = (
    "What is to change together is an experiment for each combination, a file in conf/experiment/, "
    "and these are swept as one: +experiment=one,other. docs/cookbook.md shows it."
)
_WRONG_ARGUMENT: Final = re.compile(r"\w+Error while evaluating '(\w+)\(")
# What begins with `~`: the value, or an element of a list, a choice or a dictionary.
_TILDE: Final = re.compile(r"(^|[\[(,]\s*)(~[^,\[\](){}]*)")
_TILDE_IN_DICTIONARY: Final = re.compile(r"([:\[(,{]\s*)(~[^,\[\](){}]*)")
_FORM: Final = "An override is written key=value, without spaces around the '='."


def parse_override(text: str, *, before: str | None = None) -> Override:
    """Read an override.

    Args:
        text: the override.
        before: the one before it on the command line.

    Raises:
        UserError: Hydra's grammar does not accept it; says how to quote it.
    """
    if "=" not in text and not text.startswith("~"):
        raise UserError(f"{text}: this does not set an option. {_next_step(text, before)}")
    try:
        parsed = _parsed(text)
    except HydraException as error:
        if "=zip(" in text:
            raise UserError(f"{text}: Hydra has no zip(…). {_TOGETHER}") from error
        said = f"{text}: Hydra cannot read this: {_of_function(str(error)) or error}."
        raise UserError(f"{said}\n{_next_step(text, before)}") from error
    if not parsed.key_or_group:
        raise UserError(f"{text}: the key before the '=' is missing. {_FORM}")
    return parsed


def structural(parsed: Sequence[Override], repository: Repository) -> list[Override]:
    """The overrides that decide what is composed, instead of only setting an option.

    Hydra sets its own options itself, except for a dictionary, which it would merge, and what is
    set in one.
    """
    dictionaries = {
        one.key_or_group
        for one in parsed
        if one.is_hydra_override() and isinstance(one.value(), dict)
    } - {"hydra.aliases"}
    return [one for one in parsed if _is_structural(one, repository, dictionaries)]


def _is_structural(one: Override, repository: Repository, dictionaries: set[str]) -> bool:
    group = one.key_or_group
    if one.is_hydra_override():
        return not any(f"{group}.".startswith(f"{other}.") for other in dictionaries)
    sets_options = isinstance(one.value(), dict)  # of what is chosen: `opt={lr: 0.1}`
    return one.package is not None or (repository.has_group(group) and not sets_options)


def first_choice(one: Override, repository: Repository) -> Override | None:
    """Of an override that chooses several members of a group: the same with the first of them.

    What else is given may need it: the member that is chosen by default is that of no job.

    Returns:
        None if it chooses nothing that there is.
    """
    group, value = one.key_or_group, one.value()
    if isinstance(value, Glob):
        names = value.filter(repository.configs_in(group))
    else:
        names = [*one.sweep_string_iterator()] if one.is_discrete_sweep() else []
    found = (name for name in names if repository.has_config(f"{group}/{name}"))
    return next((_parsed(f"{one.get_key_element()}={name}") for name in found), None)


def first_of_params(parsed: Sequence[Override], repository: Repository) -> list[Override]:
    """The first member of every group that `hydra.sweeper.params` vary on the command line."""
    varied: dict[str, Any] = {}
    for one in parsed:
        if one.key_or_group == _PARAMS and isinstance(value := one.value(), dict):
            varied |= {str(key): text for key, text in cast("dict[Any, Any]", value).items()}
        elif one.key_or_group.startswith(f"{_PARAMS}."):
            varied[one.key_or_group.removeprefix(f"{_PARAMS}.")] = one.value()
    found: list[Override] = []
    for group, text in varied.items():
        if repository.has_group(group):
            texts = OverridesParser.create().parse_overrides([f"{group}={text}"])
            found += filter(None, [first_choice(texts[0], repository)])
    return found


def given_twice(overrides: Sequence[str]) -> list[str]:
    """A text for every option that is set more than once, also within a dictionary."""
    given: dict[tuple[str, str | None], list[str]] = {}
    within: list[str] = []
    for text in overrides:
        try:
            one = _parsed(text)
        except HydraException:
            continue  # composing says what is wrong with it
        within += in_override(text)
        if not (one.is_delete() or one.is_list_extend()):
            for key, _ in _set_by(one):
                varied = key.removeprefix(f"{_PARAMS}.")  # the same, for a sweeper
                given.setdefault((varied, one.package), []).append(text)
    told: dict[tuple[str, ...], str] = {}
    for (key, _), texts in given.items():
        named = next((typed for typed in map(_key, texts) if typed.startswith(f"{key}@")), key)
        if len(texts) > 1:
            told.setdefault(
                tuple(texts),
                f"{texts[0]}: {named} is set {len(texts)} times, also as "
                f"{' and '.join(texts[1:])}. Keep only one.",
            )
    return [*told.values(), *within]


def replaced_later(overrides: Sequence[str]) -> dict[str, str]:
    """A text for every override of a part of what a later one replaces as a whole."""
    parsed = [_parsed(text) for text in overrides if is_read(text)]
    whole = [
        (place, key, str(one.input_line))
        for place, one in enumerate(parsed)
        for key, value in (() if one.is_list_extend() else _set_by(one))
        if isinstance(value, list) or (isinstance(value, dict) and _takes_dictionary(key))
    ]
    return {
        typed: f"{typed} has no effect before {later}, which gives all of {key}. Put it behind "
        "that."
        for place, one in enumerate(parsed)
        for behind, key, later in whole
        if behind > place and one.key_or_group.startswith(f"{key}.")
        for typed in [str(one.input_line)]
    }


def keys_of(text: str) -> list[str]:
    """The full keys of all that an override sets: `a={b: 1}` sets `a` and `a.b`."""
    try:
        return [key for key, _ in _set_by(_parsed(text))]
    except HydraException:  # composing says what is wrong with it
        return [_key(text)]


def _set_by(one: Override) -> Iterator[tuple[str, Any]]:
    value: Any = one.value()
    yield one.key_or_group, value
    if isinstance(value, dict):
        yield from _below(one.key_or_group, cast("dict[Any, Any]", value))


def _below(key: str, values: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        yield f"{key}.{name}", value
        if isinstance(value, dict):
            yield from _below(f"{key}.{name}", cast("dict[Any, Any]", value))


def _takes_dictionary(key: str) -> bool:
    kinds = hints.alternatives(declared(key))
    return any((typing.get_origin(kind) or kind) is dict for kind in kinds)


def of_params(multirun: DictConfig) -> list[str]:
    """What a sweeper's `params` vary, as overrides."""
    params: dict[str, Any] = multirun.hydra.sweeper.get("params") or {}
    return [f"{key}={value}" for key, value in params.items()]


def swept_keys(multirun: DictConfig) -> frozenset[str]:
    """The keys and groups that a multirun of all combinations varies."""
    texts = [*multirun.hydra.overrides.task, *of_params(multirun)]
    parsed = OverridesParser.create().parse_overrides(texts)
    return frozenset(one.key_or_group for one in parsed if one.is_sweep_override())


def is_finite(value: RangeSweep | IntervalSweep) -> bool:
    """Whether both ends are finite numbers."""
    ends = (value.start, value.stop) if isinstance(value, RangeSweep) else (value.start, value.end)
    return all(end is not None and math.isfinite(end) for end in ends)


def number_of_values(one: Override) -> int:
    """How many values an override has in a multirun, without making those of a range.

    The ends and the step of a range are finite, and the step is not 0.
    """
    value = one.value()
    if isinstance(value, RangeSweep):
        start, stop, step = map(float, (value.start or 0, value.stop or 0, value.step))
        return max(0, math.ceil((stop - start) / step))
    return sum(1 for _ in one.sweep_string_iterator())


def _key(text: str) -> str:
    return text.partition("=")[0].lstrip("+")


def several_values(text: str, *, is_choice: bool, from_shell: bool = True, hint: Any = None) -> str:
    """The message for several values where only one is allowed.

    Args:
        text: the override.
        is_choice: whether it can mean nothing else: it chooses a member of a group, or it has more
            than commas between the values.
        from_shell: whether it was typed in a shell, and not in Python.
        hint: the type of the option; None where that is not known.
    """
    way = "To run with each of them, add --multirun."
    if not from_shell:
        way = "compose makes one configuration; call it once for each of them."
    said = f"{text}: these are several values. {way}"
    if re.search(r"=(tag\(.*)?(int\()?interval\(", text) and from_shell:
        return f"{text}: an interval can only be searched. Add --multirun hydra/sweeper=runwright."
    if is_choice:
        return said
    key, _, value = text.partition("=")
    written = shlex.quote if from_shell else repr
    kinds = [typing.get_origin(kind) or kind for kind in hints.alternatives(hint)]
    is_open = hint is None or Any in kinds
    ways: list[str] = []
    if is_open or {list, tuple} & {*kinds}:
        ways.append(f"As a list, write {written(f'{key}=[{value}]')}")
    if is_open or {str, Path} & {*kinds}:
        ways.append(f"{'as' if ways else 'As'} one string, {written(_with_text(key, value))}")
    return f"{said} {'; '.join(ways)}." if ways else said


def quoted(key: str, value: str) -> str:
    """An override whose value is text: quoted for Hydra, and again for the shell."""
    return shlex.quote(_with_text(key, value))


def _with_text(key: str, value: str) -> str:
    try:
        OmegaConf.create([value])
    except GrammarParseError:  # a "${" that does not start an interpolation
        value = value.replace("${", r"\${")
    return f"{key}={QuotedString(value, Quote.double).with_quotes()}"


def with_path(key: str, path: str) -> str:
    """An override whose value is a path, quoted if Hydra's grammar needs it."""
    if re.fullmatch(r"[A-Za-z0-9_/.\-]+", path) and isinstance(
        _parsed(f"{key}={path}").value(), str
    ):
        return f"{key}={path}"
    return f"{key}={QuotedString(path, Quote.double).with_quotes()}"


def _next_step(text: str, before: str | None) -> str:
    key, equals, value = text.partition("=")
    if equals and is_read(f"{key}=1"):
        if (values := re.fullmatch(r"choice\((.*)\)", value)) and is_read(f"{key}={values[1]}"):
            # Hydra's grammar does not allow null among the arguments of a function.
            return f"Separate the values by commas only: {shlex.quote(f'{key}={values[1]}')}"
        if elements := _as_list(key, value):
            return f"If these are meant as text, quote each: {shlex.quote(elements)}"
        if re.fullmatch(r"\{.*:.*\}", value):
            return _KEYS
        said = f"If {value} is meant as text, quote it, and quote the whole again for the shell:"
        return f"{said} {quoted(key, value)}"
    if equals or not before or not before.partition("=")[2]:
        return _FORM
    whole = f"{before} {text}"  # the shell ends an argument at a space
    written = shlex.quote(whole) if is_read(whole) else quoted(*whole.split("=", 1))
    return f"{_FORM} If {text} belongs to what is before it, quote both together: {written}"


def _of_function(error: str) -> str | None:
    """What is wrong with the arguments of one of the grammar's functions; None if it is not that.

    Args:
        error: Hydra's text, which names Python's types.
    """
    found = _WRONG_ARGUMENT.match(error)
    return found and f"{found[1]}(…) does not take such values as its arguments"


def _as_list(key: str, value: str) -> str | None:
    """The override with quotes around every element that needs them; None if it is not a list."""
    if not (value.startswith("[") and value.endswith("]")):
        return None
    elements = [one.strip() for one in value[1:-1].split(",")]
    written = (one if is_read(f"{key}={one}") else f'"{one}"' for one in elements)
    attempt = f"{key}=[{','.join(written)}]"
    return attempt if is_read(attempt) else None


def is_read(text: str) -> bool:
    """Whether Hydra's grammar accepts an override."""
    try:
        _parsed(text)
    except HydraException:
        return False
    return True


def _parsed(text: str) -> Override:
    return OverridesParser.create().parse_override(text)


def as_meant(override: str) -> str:
    """An override with `~` expanded, and without a `+` where a member is chosen already.

    `+machine=cluster` is what the machine was chosen with in programs where none was usual.

    Raises:
        UserError: there is no such user.
    """
    group, equals, name = override.partition("=")
    members = CONFIG_GROUPS.get(group.removeprefix("+"), {}).values()
    if group.startswith("+") and any(cls.is_open for cls in members):
        return f"{group[1:]}{equals}{name}"
    return with_home(override)


def with_home(override: str) -> str:
    """An override whose values begin with `~`, in the quotes that Hydra's grammar needs.

    A shell does not expand what follows a `=`. Whether the option is a path, for which `~` is
    expanded, is known when it is set; Hydra's own paths are few.

    Raises:
        UserError: there is no such user.
    """
    key, equals, value = override.partition("=")
    if "~" not in value or set("'\"") & set(value):
        return override
    try:
        inside = _TILDE_IN_DICTIONARY if value.startswith("{") else _TILDE
        expanded = inside.sub(lambda one: one[1] + _with_home(key.lstrip("+"), one[2]), value)
    except UserError as error:
        raise UserError(f"{override}: {error}") from error
    return key + equals + expanded


def _with_home(key: str, value: str) -> str:
    text = str(home_path(Path(value))) if key in _PATHS_OF_HYDRA else value
    return QuotedString(text, Quote.single).with_quotes()
