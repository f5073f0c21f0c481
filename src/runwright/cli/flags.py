"""The flags of the command line: Hydra's, with a sentence for what is mistyped."""

import argparse
import re
from typing import Final, NoReturn

from hydra._internal.utils import get_args_parser

from runwright.compose.quoting import parse_override
from runwright.errors import ConfigError, UserError, nearest

_SHOWING: Final = ("help", "cfg", "info")


def read_flags() -> tuple[argparse.Namespace, argparse.ArgumentParser]:
    """The flags and overrides in `sys.argv`, and what reads them.

    Raises:
        UserError: there is no such flag, or its value is wrong.
    """
    parser = get_args_parser()
    parser.error = _refuse
    args, unknown = parser.parse_known_intermixed_args()
    if unknown:
        raise ConfigError([_unknown(flag) for flag in unknown])
    if args.multirun:
        for flag in (flag for flag in _SHOWING if getattr(args, flag)):
            _refuse_several(args.overrides, flag)
    return args, parser


def names() -> list[str]:
    """All flags that are words, without their dashes."""
    return re.findall(r"--([a-z-]+)", get_args_parser().format_usage())


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message.removeprefix('argument ')}.")


def _unknown(flag: str) -> str:
    said = f"{flag}: there is no such flag."
    bare = flag.lstrip("-")
    if closest := nearest(bare.partition("=")[0], names()):
        return f"{said} Did you mean '--{closest}'?"
    if "=" in bare:
        return f"{said} An option is given a value without dashes: {bare}"
    return f"{said} --hydra-help lists them."


def _refuse_several(overrides: list[str], flag: str) -> None:
    """Refuse several values for an option where but one configuration is shown."""
    problems: list[str] = []
    for text in overrides:
        try:
            is_several = parse_override(text).is_sweep_override()
        except UserError:
            continue  # composing says what is wrong with it
        if is_several:
            said = "these are several values, but one configuration is shown. Choose one"
            problems.append(f"{text} with --{flag}: {said}.")
    if problems:
        raise ConfigError(problems)
