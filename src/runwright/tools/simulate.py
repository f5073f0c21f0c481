"""`python -m runwright simulate`: make stand-in data to try things out with.

What can be made is up to each domain: the `SIMULATORS` of the `simulators.py` in its folder.
"""

import argparse
import importlib
import importlib.util
import inspect
import pkgutil
from typing import Final, Protocol

from runwright import domains

_DESCRIPTION: Final = """\
Make a stand-in for data that you do not have. It is read like the real data, and is never used
unless you ask for it here.
"""


class Simulator(Protocol):
    """Makes data; its docstring is what `--help` says about them."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options."""
        ...

    def run(self, args: argparse.Namespace) -> None:
        """Make the data."""
        ...


def main(argv: list[str]) -> int:
    """Run the command.

    Args:
        argv: what follows `simulate` on the command line.

    Returns:
        The exit status.

    Raises:
        UserError: as the simulator documents.
    """
    parser = argparse.ArgumentParser(prog="python -m runwright simulate", description=_DESCRIPTION)
    datasets = parser.add_subparsers(dest="dataset", required=True, metavar="dataset")
    known = simulators()
    for name, simulator in known.items():
        said = inspect.getdoc(simulator) or ""
        one = datasets.add_parser(
            name,
            help=said.partition("\n")[0],
            description=said,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        simulator.add_arguments(one)
    args = parser.parse_args(argv)
    known[args.dataset].run(args)
    return 0


def simulators() -> dict[str, Simulator]:
    """The simulators of all domains, by name."""
    found: dict[str, Simulator] = {}
    for domain in pkgutil.iter_modules(domains.__path__):
        name = f"{domains.__name__}.{domain.name}.simulators"
        if importlib.util.find_spec(name) is not None:
            found |= importlib.import_module(name).SIMULATORS
    return found
