"""`python -m runwright <command>`: the tools besides training itself."""

import importlib
import sys

from runwright.added_commands import TOOLS
from runwright.cli.exit_status import DONE, MISTAKE, end_program, exit_status


def main(argv: list[str]) -> int:
    """Run a command; `argv` is what follows `python -m runwright`. Returns the exit status."""
    return exit_status(lambda: _command(argv))


def _command(argv: list[str]) -> int:
    if argv and argv[0] in TOOLS:
        return importlib.import_module(f"runwright.tools.{argv[0]}").main(argv[1:])
    if argv == ["--version"]:
        from runwright.cli.flags import versions

        print(versions())
        return DONE
    from runwright.tools import of_domains

    if not argv or argv[0] in ("-h", "--help"):
        print(of_domains.usage(of_domains.every_command()), file=sys.stdout if argv else sys.stderr)
        return DONE if argv else MISTAKE
    return of_domains.main(argv)


if __name__ == "__main__":
    end_program(main(sys.argv[1:]))
