"""What is wrong with `hydra.job_logging` and `hydra.hydra_logging`, which go to Python's logging.

`logging.config.dictConfig` names the part that it cannot configure, but neither the key nor what is
allowed, and Hydra does not catch what it raises.
"""

import importlib.util
import logging
import logging.config
import sys
import traceback
from collections.abc import Collection, Iterator
from typing import Any, Final, TypeAlias, cast

from omegaconf import DictConfig, OmegaConf

from runwright.errors import UserError, did_you_mean, nearest
from runwright.plain import shown

_Plain: TypeAlias = dict[str, Any]

_PARTS: Final = ("formatters", "filters", "handlers", "loggers")
_KEYS: Final = ("version", *_PARTS, "root", "incremental", "disable_existing_loggers")


def wrong_in_logging(node: DictConfig, key: str) -> list[str]:
    """A text for all that Python's logging does not take; what is an interpolation is left out."""
    given = cast("_Plain", OmegaConf.to_container(node, resolve=False))
    if "root" in given and given["root"] is None:  # which is how Hydra is told to leave it alone
        return []
    return [f"{key}.{text}" for text in _wrong(given)]


def refusal_of_logging(error: BaseException) -> UserError | None:
    """What to say of an error that Python's logging raised when it was configured; else None."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not any(frame.f_code.co_filename == logging.config.__file__ for frame in frames):
        return None
    is_hydras = any(frame.f_code.co_name == "compose_config" for frame in frames)
    part = "hydra_logging" if is_hydras else "job_logging"
    why = "" if error.__cause__ is None else f": {error.__cause__}"
    return UserError(f"hydra.{part}: {error}{why}.")


def _wrong(given: _Plain) -> Iterator[str]:
    for name in given:
        if name not in _KEYS:
            yield f"{name}: logging has no such part. {did_you_mean(name, _KEYS)}"
    if given.get("version") != 1:
        yield f"version must be 1, got {shown(given.get('version'))}"
    if "root" not in given:
        yield "root must be given: the level and the handlers of all loggers, or null"
    for name in ("incremental", "disable_existing_loggers"):
        yield from _not_of(bool, given, name, "true or false")
    parts = {name: _dictionary(given.get(name)) for name in _PARTS}
    for key, value in [
        *((name, given.get(name, {})) for name in (*_PARTS, "root")),
        *((f"{part}.{name}", value) for part in _PARTS for name, value in parts[part].items()),
    ]:
        if not isinstance(value, dict) and not _is_open(value):
            yield f"{key} must be a dictionary, got {shown(value)}"
    for name, options in parts["formatters"].items():
        yield from _wrong_formatter(_dictionary(options), f"formatters.{name}")
    for name, options in parts["handlers"].items():
        if isinstance(options, dict):
            yield from _wrong_handler(_dictionary(options), f"handlers.{name}", parts)
    for name, options in parts["loggers"].items():
        yield from _wrong_logger(_dictionary(options), f"loggers.{name}", parts)
    yield from _wrong_logger(_dictionary(given.get("root")), "root", parts)


def _wrong_formatter(options: _Plain, key: str) -> Iterator[str]:
    if "()" in options or "class" in options:  # a formatter of another kind takes other options
        return
    chosen: list[Any] = [options.get("format"), options.get("datefmt"), options.get("style", "%")]
    if any(map(_is_open, chosen)):
        return
    try:
        logging.Formatter(*chosen, validate=options.get("validate", True))
    except (ValueError, TypeError, AttributeError) as error:
        yield f"{key} is no format: {error}"


def _wrong_handler(options: _Plain, key: str, parts: dict[str, _Plain]) -> Iterator[str]:
    yield from _wrong_level(options, key)
    yield from _not_among(parts["filters"], options, "filters", key)
    formatter = options.get("formatter")
    if formatter is not None and not _is_open(formatter) and formatter not in parts["formatters"]:
        hint = did_you_mean(str(formatter), parts["formatters"])
        hint = hint or "There are none."
        yield f"{key}.formatter={formatter}: there is no such formatter. {hint}"
    if "()" in options:
        return
    name = options.get("class")
    if not _is_open(name) and not _may_be_there(name):
        yield f"{key}.class must be a class such as logging.StreamHandler, got {shown(name)}"


def _wrong_logger(options: _Plain, key: str, parts: dict[str, _Plain]) -> Iterator[str]:
    yield from _wrong_level(options, key)
    yield from (f"{key}.{text}" for text in _not_of(bool, options, "propagate", "true or false"))
    for name in ("handlers", "filters"):
        yield from _not_among(parts[name], options, name, key)


def _wrong_level(options: _Plain, key: str) -> Iterator[str]:
    level, names = options.get("level"), logging.getLevelNamesMapping()
    is_number = isinstance(level, int) and not isinstance(level, bool)
    if level is None or is_number or _is_open(level) or level in names:
        return
    closest = nearest(str(level), names)
    hint = f" Did you mean '{closest}'?" if closest else ""
    yield f"{key}.level={level}: there is no such level.{hint} Allowed: {', '.join(names)}."


def _not_among(known: Collection[str], options: _Plain, name: str, key: str) -> Iterator[str]:
    """A text for each of the names in a list that stands for nothing."""
    names: Any = options.get(name) or []
    if _is_open(names):
        return
    if not isinstance(names, list):
        yield f"{key}.{name} must be a list of names, got {shown(names)}"
        return
    for one in cast("list[Any]", names):
        if not _is_open(one) and one not in known:
            hint = did_you_mean(str(one), known) or "There are none."
            yield f"{key}.{name}: there is no {name.removesuffix('s')} {one!r}. {hint}"


def _not_of(kind: type, options: _Plain, name: str, demand: str) -> Iterator[str]:
    value = options.get(name)
    if value is not None and not isinstance(value, kind) and not _is_open(value):
        yield f"{name} must be {demand}, got {shown(value)}"


def _dictionary(value: Any) -> _Plain:
    return cast("_Plain", value) if isinstance(value, dict) else {}


def _is_open(value: object) -> bool:
    """Whether a value is known only when it is asked for."""
    return isinstance(value, str) and ("${" in value or value == "???")


def _may_be_there(name: object) -> bool:
    """Whether there may be a class of this name, as far as can be told without importing it."""
    if not isinstance(name, str) or "." not in name:
        return False
    module, _, attribute = name.rpartition(".")
    if module in sys.modules:
        return hasattr(sys.modules[module], attribute)
    return importlib.util.find_spec(name.partition(".")[0]) is not None
