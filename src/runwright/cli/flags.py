"""The flags of the command line: Hydra's, with a sentence for each typo."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Final, NoReturn

from hydra.types import RunMode

from runwright.compose._hydra import arguments_parser, flag_names
from runwright.compose.overrides import keys_of, parse_override
from runwright.errors import ConfigError, UserError, nearest

# What only a multirun reads.
_FOR_SEVERAL: Final = re.compile(r"hydra[/.](launcher|sweeper|sweep)([/.@].*)?$")
_PARAM: Final = re.compile(r"\+*hydra\.sweeper\.params\.(\w+\..*=.*)", re.DOTALL)
_OF_COMMAND_LINE: Final = (
    "{text}: on the command line, what a sweep varies stands by itself. Write --multirun {param}"
)
_SHOWING: Final = ("help", "cfg", "info", "hydra_help")
_NOT_SEVERAL: Final = (
    "--multirun has no effect with --{flag}, which shows one configuration. Leave it out."
)
_NOT_A_RUN: Final = (
    "{tool}: this program starts runs. The command is `python -m runwright {tool}`; options are "
    "set as name=value."
)


def read_flags() -> tuple[argparse.Namespace, argparse.ArgumentParser]:
    """The flags and overrides in `sys.argv`, and what reads them.

    Raises:
        UserError: there is no such flag, or its value is wrong.
    """
    parser = arguments_parser()
    parser.error = _refuse
    if "--version" in sys.argv:
        print(versions())
        parser.exit()
    args, unknown = parser.parse_known_intermixed_args()
    if unknown:
        raise ConfigError(list(_unknown(unknown)))
    if tools := _tools_in(args.overrides):
        raise ConfigError([_NOT_A_RUN.format(tool=tool) for tool in tools])
    if args.multirun:
        for flag in (flag for flag in _SHOWING if getattr(args, flag)):
            name = flag.replace("_", "-")
            several = [*_several(args.overrides, name)]
            raise ConfigError(several or [_NOT_SEVERAL.format(flag=name)])
    return args, parser


def versions() -> str:
    """The versions of the package and of Hydra."""
    from importlib.metadata import version

    return f"runwright {version('runwright')} (Hydra {version('hydra-core')})"


def _tools_in(overrides: list[str]) -> list[str]:
    """The words that are commands of `python -m runwright`."""
    words = [word for word in overrides if "=" not in word and not word.startswith("~")]
    if not words:
        return []
    from runwright.compose.collect import command_names

    known = command_names()
    return [word for word in words if word in known]


def refuse_without_effect(args: argparse.Namespace, mode: object, *, is_multirun: bool) -> None:
    """Refuse what was typed but would have no effect.

    Args:
        args: the flags and the overrides.
        mode: what `hydra.mode` is; None if it is not set.
        is_multirun: whether several jobs are launched.

    Raises:
        ConfigError: with everything that has no effect, and what to add.
    """
    problems = [
        f"--{name.replace('_', '-')} has no effect without --cfg, which prints the configuration."
        for name in ("resolve", "package")
        if getattr(args, name) and not args.cfg
    ]
    if args.experimental_rerun:
        problems.append(
            "--experimental-rerun: no run leaves a pickled job. To resume a run, give its "
            "hydra.run.dir; to repeat it from scratch, --config-dir DIR --config-name config."
        )
    if args.run and mode is RunMode.MULTIRUN:
        problems.append("--run contradicts hydra.mode=MULTIRUN. Leave one of them out.")
    named = [text for text in args.overrides if text.lstrip("+").startswith("hydra.mode=")]
    if args.multirun and mode is RunMode.RUN and named:
        problems.append(f"--multirun contradicts {named[0]}. Leave one of them out.")
    if args.multirun and args.run:
        problems.append("--multirun contradicts --run. Leave one of them out.")
    if not (args.cfg or args.info or args.help or args.hydra_help):
        for text in args.overrides:
            if param := _PARAM.match(text):
                problems.append(_OF_COMMAND_LINE.format(text=text, param=param[1]))
                continue
            keys = keys_of(text)
            if not is_multirun and any(map(_FOR_SEVERAL.match, keys)):
                problems.append(f"{text} has no effect on a single run. Add --multirun (-m).")
            elif is_multirun and "hydra.run.dir" in keys:
                problems.append(
                    f"{text} has no effect on a multirun, whose directory is hydra.sweep.dir."
                )
    if problems:
        raise ConfigError(problems)


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message.removeprefix('argument ')}.")


def _unknown(words: Sequence[str]) -> Iterator[str]:
    """A text for each flag that there is not; what follows one without a dash is its value.

    Args:
        words: what argparse does not know: the flags, and in some versions of Python the values.
    """
    for before, flag in zip(["", *words], words, strict=False):
        if not flag.startswith("-") and before.startswith("-"):
            continue
        said = f"{flag}: there is no such flag."
        typed = [*sys.argv, flag, "-"]
        following = typed[typed.index(flag) + 1]
        bare, value = flag.lstrip("-"), "" if following.startswith("-") else f"={following}"
        if closest := nearest(bare.partition("=")[0], flag_names()):
            yield f"{said} Did you mean '--{closest}'?"
        elif "=" in bare or (value and "=" not in following):
            yield f"{said} Options are set without dashes: {bare}{value if '=' not in bare else ''}"
        else:
            yield f"{said} --hydra-help lists them."


def _several(overrides: list[str], flag: str) -> Iterator[str]:
    """A text for several values of an option where only one configuration is shown."""
    for text in overrides:
        try:
            is_several = parse_override(text).is_sweep_override()
        except UserError:
            continue  # composing says what is wrong with it
        if is_several:
            yield (
                f"{text} with --{flag}: these are several values, but only one configuration is "
                "shown. Choose one, and leave out --multirun."
            )
