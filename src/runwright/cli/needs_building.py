"""When the mistakes of a command line are told at once, and when more are looked for by building.

Importing what builds takes seconds, on the file system of a cluster tens of them. The members of
the groups, with what their files give them, have been built before, by `python -m runwright check`
or by another run. So what has mistakes that need no building is built only where the command line
itself gives options that nothing else can judge.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, cast

from runwright.checks import preflight
from runwright.checks.light_checks import missing_weights
from runwright.optimizers.schedules import ScheduledOptimizer

_NO_OPTION: Final = object()
_OF_PARTS: Final = re.compile(
    r"(dm|model|objective|opt|finetune)\.|training\.monitor"
    r"|wandb\.mode|tensorboard$"  # what asks packages, and W&B perhaps its server
)
_LIGHT: Final = {
    f"opt.{field.name}" for field in dataclasses.fields(cast("Any", ScheduledOptimizer))
} - {"opt.no_decay", "opt.layer_decay"}  # whose patterns are compared with the model's names


def problems_beside(parts: Mapping[str, Any], overrides: Iterable[str]) -> list[str]:
    """What is wrong with the parts of a configuration that has other mistakes.

    Args:
        parts: the options that are right by themselves, by name.
        overrides: the command line.
    """
    if needs_building(parts, overrides):
        return preflight.problems_of_parts(parts)
    return missing_weights(parts, begins=True)


def needs_building(parts: Mapping[str, Any], overrides: Iterable[str]) -> bool:
    """Whether a command line gives options, right by themselves, that only building can judge."""
    keys = {text.lstrip("+").partition("=")[0] for text in overrides}
    return any(_OF_PARTS.match(key) and _is_judged(parts, key) for key in keys - _LIGHT)


def _is_judged(parts: Mapping[str, Any], key: str) -> bool:
    """Whether there is an option of this name, which is no path: those are looked for as they are.

    Of an option within another, the outer one is looked at.
    """
    name, *within = key.split(".")
    value = parts.get(name, _NO_OPTION)
    if within:
        value = getattr(value, within[0], _NO_OPTION)
    return value is not _NO_OPTION and not isinstance(value, Path)
