"""`python -m runwright <command>`: the tools besides training itself."""

import importlib
import sys
from collections.abc import Mapping

from runwright.cli.exit_status import DONE, MISTAKE, end_program, exit_status
from runwright.errors import nearest


def main(argv: list[str]) -> int:
    """Run a command; `argv` is what follows `python -m runwright`. Returns the exit status."""
    return exit_status(lambda: _command(argv))


def _command(argv: list[str]) -> int:
    from runwright.cli.flags import TOOLS

    if not argv or argv[0] in ("-h", "--help"):
        print(_usage(TOOLS), file=sys.stdout if argv else sys.stderr)
        return DONE if argv else MISTAKE
    name, *rest = argv
    if name not in TOOLS:
        closest = nearest(name, TOOLS)
        hint = f" Did you mean '{closest}'?" if closest else ""
        print(f"There is no command '{name}'.{hint}\n\n{_usage(TOOLS)}", file=sys.stderr)
        return MISTAKE
    return importlib.import_module(f"runwright.tools.{name}").main(rest)


def _usage(tools: Mapping[str, str]) -> str:
    listed = "\n".join(f"  {name:10}{what}" for name, what in tools.items())
    return (
        f"usage: python -m runwright <command> …\n\n{listed}\n\n"
        "`python -m runwright <command> --help` says more. Runs are started with `python main.py`."
    )


if __name__ == "__main__":
    end_program(main(sys.argv[1:]))
