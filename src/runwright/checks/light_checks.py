"""Mistakes that are found without building anything, so without importing what takes seconds."""

import dataclasses
import errno
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

from runwright.errors import UserError
from runwright.factory import Settings, full_key, settings_in

_IMPOSSIBLE: Final = (errno.ENAMETOOLONG, errno.ELOOP)  # of a path


def problems(config: Settings, *, begins: bool) -> list[str]:
    """What is known to be wrong with a configuration without building anything.

    Args:
        config: what is to run.
        begins: whether a training begins, so that what it starts from must be there.
    """
    impossible = list(impossible_paths(config))
    above = {text.partition(".")[0] for text in impossible}
    right = {name: part for name, part in vars(config).items() if name not in above}
    of_files = [*missing_weights(right, begins=begins), *missing_sources(right, begins=begins)]
    return [*impossible, *of_files]


def impossible_paths(settings: Settings, key: str = "") -> Iterator[str]:
    """The options whose path no file system accepts: a name is too long, or a link circular."""
    for field in dataclasses.fields(cast("Any", settings)):
        value, full = getattr(settings, field.name), full_key(key, field.name)
        for place, part in settings_in(value, full):
            yield from impossible_paths(part, place)
        if isinstance(value, Path):
            try:
                value.stat()
            except (OSError, ValueError) as error:  # a zero byte is a ValueError
                if isinstance(error, ValueError) or error.errno in _IMPOSSIBLE:
                    why = getattr(error, "strerror", None) or str(error)
                    yield f"{full}={str(value)!r}: {why}."


def missing_sources(parts: Mapping[str, Any], *, begins: bool) -> list[str]:
    """What is said of the data's files where they are not there and will be read."""
    if not {"dm", "stage"} <= parts.keys():
        return []
    stage = parts["stage"]
    if not stage.needs_data or (stage.trains and not begins):  # what resumes may have finished
        return []
    try:
        parts["dm"].check_sources()
    except UserError as error:
        return [str(error)]
    return []


def missing_weights(parts: Mapping[str, Any], *, begins: bool) -> list[str]:
    """What is said of weights or a checkpoint that should be there and are not.

    Args:
        parts: the options of a configuration, by name.
        begins: whether a training begins.
    """
    from runwright.rundir.branch import find_checkpoint
    from runwright.rundir.checkpoint import find_weights

    trains = "stage" not in parts or parts["stage"].trains
    if "checkpoint" not in parts or (trains and not begins):
        return []
    checkpoint = parts["checkpoint"]
    try:
        if checkpoint.load is not None:
            find_weights(checkpoint.load)
        origin = checkpoint.resume_from if trains else None
        if origin is not None and not origin.exists():  # reading one that does takes time
            find_checkpoint(origin)
    except UserError as error:
        return [str(error)]
    return []
