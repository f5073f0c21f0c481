"""`python -m runwright simulate …`: the commands that domains and the project add."""

import argparse
import importlib
import inspect
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from runwright.added_commands import COMMANDS, TOOLS
from runwright.cli.exit_status import DONE, MISTAKE
from runwright.domains import NOT_LOADED, register_commands
from runwright.errors import nearest
from runwright.tools import entry_point

_ABOUT_RUNS = (
    "`python -m runwright <command> --help` says more. Runs are started with `python main.py`."
)


def main(argv: Sequence[str]) -> int:
    """Run the command that these words begin with.

    Args:
        argv: what follows `python -m runwright` on the command line.

    Returns:
        The exit status.

    Raises:
        UserError: as the command documents; or two of them have the same name.
    """
    register_commands()
    name = _begins_with(argv)
    if name is None:
        _register_those_of_project()
        name = _begins_with(argv)
    if name is not None:
        return _run(name, argv[len(name.split()) :])
    words = [word for word in argv if not word.startswith("-")]
    begun = [known for known in COMMANDS if known.split()[0] == argv[0]]
    if begun and len(words) == 1:
        is_asked = any(flag in argv for flag in ("-h", "--help"))
        print(usage(begun), file=sys.stdout if is_asked else sys.stderr)
        return DONE if is_asked else MISTAKE
    typed = " ".join(words[:2]) if begun else argv[0]
    closest = nearest(typed, [*TOOLS, *COMMANDS])
    hint = f" Did you mean '{closest}'?" if closest else ""
    said = [f"There is no command '{typed}'.{hint}", *NOT_LOADED.values(), ""]
    print("\n".join(said), usage(begun or every_command()), sep="\n", file=sys.stderr)
    return MISTAKE


def every_command() -> list[str]:
    """The program's own commands, and those that domains and the project here add."""
    register_commands()
    _register_those_of_project()
    return [*TOOLS, *sorted(COMMANDS)]


def usage(names: Iterable[str]) -> str:
    """How to call these commands, and what each does."""
    does = {name: TOOLS[name] if name in TOOLS else _summary(name) for name in names}
    width = max(map(len, does)) + 2
    listed = "\n".join(f"  {name:{width}}{what}" for name, what in does.items())
    return f"usage: python -m runwright <command> …\n\n{listed}\n\n{_ABOUT_RUNS}"


def _begins_with(argv: Sequence[str]) -> str | None:
    """The command whose words a command line begins with."""
    found = (name for name in COMMANDS if list(argv[: len(name.split())]) == name.split())
    return next(found, None)


def _register_those_of_project() -> None:
    """Import the modules that the project's program names, as `check` does."""
    script = entry_point.nearest(Path.cwd())
    if script is not None and entry_point.calls_app_main(script):
        for module in entry_point.ask(script).factories:
            importlib.import_module(module)


def _run(name: str, rest: Sequence[str]) -> int:
    command = COMMANDS[name]()
    parser = argparse.ArgumentParser(
        prog=f"python -m runwright {name}",
        description=(inspect.getdoc(COMMANDS[name]) or "").replace(
            "%", "%%"
        ),  # argparse formats it
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_arguments(parser)
    command.run(parser.parse_args(rest))
    return DONE


def _summary(name: str) -> str:
    return (inspect.getdoc(COMMANDS[name]) or "").partition("\n")[0]
