"""Commands that a domain, or a project's own modules, add to `python -m runwright`.

    @command("simulate tones")
    class SimulateTones(Command):
        '''Write pure tones as WAV files.'''

        def add_arguments(self, parser): parser.add_argument("--hertz", type=int, default=440)

        def run(self, args): ...

`python -m runwright simulate tones --hertz 220` runs it. Those of a domain are in its module
`commands`, which no run imports.
"""

import argparse
import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, TypeVar

from runwright.errors import NameTakenError

CommandT = TypeVar("CommandT", bound="Command")

TOOLS: Final = {
    "check": "try all combinations of factories without data",
    "diff": "show what differs between two runs",
    "new": "make a project of your own",
    "results": "show runs in a table, and which is best",
    "schema": "write JSON Schemas of the YAML files, for editors",
}
"""The commands of the program itself, each with what it does."""

COMMANDS: Final[dict[str, "type[Command]"]] = {}
"""Every command that was added, by its words."""

_BAD_NAME: Final = (
    "'{name}' cannot be the name of {cls}: use words of lower-case letters, digits, '_' and '-', "
    "as in 'simulate tones'."
)
_NO_DOC: Final = "{cls} has no docstring. Its first line is what `python -m runwright --help` says."
_TAKEN: Final = (
    "`python -m runwright {name}` would be two commands, '{name}' and '{other_name}':\n"
    "  {other}\n  {cls}\nGive one of them another name."
)


class Command(ABC):
    """A command; its docstring is what `--help` says about it."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:  # noqa: B027  # not every command has some
        """Add its options; there are none by default."""

    @abstractmethod
    def run(self, args: argparse.Namespace) -> None:
        """Do it.

        Raises:
            UserError: with a sentence that says what is wrong, and the next step.
        """


def command(name: str) -> Callable[[type[CommandT]], type[CommandT]]:
    """Add a command to `python -m runwright`.

    Args:
        name: its words, `simulate tones`.

    Raises:
        TypeError: it is not documented, the name is none, or it is taken, wholly or at its
            beginning.
    """

    def register(cls: type[CommandT]) -> type[CommandT]:
        if not re.fullmatch(r"[a-z][a-z0-9_-]*( [a-z][a-z0-9_-]*)*", name):
            raise TypeError(_BAD_NAME.format(name=name, cls=cls.__name__))
        if not (cls.__doc__ or "").strip():
            raise TypeError(_NO_DOC.format(cls=cls.__name__))
        taken = {other: _place(made) for other, made in COMMANDS.items() if made is not cls}
        taken |= {tool: f"runwright.tools.{tool}" for tool in TOOLS}
        for other_name, other in taken.items():
            is_rerun = other_name == name and other == _place(cls)  # a module that is loaded anew
            if not is_rerun and f"{name} ".startswith(f"{other_name} "):
                _refuse(name, other_name, other, _place(cls))
            if not is_rerun and f"{other_name} ".startswith(f"{name} "):
                _refuse(other_name, name, _place(cls), other)
        COMMANDS[name] = cls
        return cls

    return register


def _refuse(name: str, other_name: str, other: str, mine: str) -> None:
    raise NameTakenError(_TAKEN.format(name=name, other_name=other_name, other=other, cls=mine))


def _place(cls: type[Command]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}, {inspect.getsourcefile(cls)}"
