"""The commands for cells under perturbation. Imports nothing heavy."""

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
from typing_extensions import override

from runwright import Command, command, require_extra
from runwright.domains.perturbation.migrate_state import MigrateState
from runwright.domains.perturbation.simulation import Simulation

__all__ = ["MigrateState", "SimulatePerturbation"]

_ROOT: Final = Path("data")


@command("simulate perturbation")
class SimulatePerturbation(Command):
    """Simulate cells under perturbation, as h5ad files, of which the true effects are known.

    Perturbations mix a few response programs, and how strongly a cell follows a program depends on
    its state: what a cell type does under a perturbation follows from its control cells and from
    what other cell types do. Three cell types are held out, one for few-shot and two for zero-shot
    prediction. It is a stand-in for data that you do not have: read like real data, and never used
    unless you ask for it.
    """

    @override
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument(
            "--root",
            type=_folder,
            default=_ROOT,
            help="folder in which to make the folder `perturbation`",
        )
        for field in attrs.fields(Simulation):
            parser.add_argument(
                f"--{field.name.replace('_', '-')}",
                type=_share if field.type is float else _at_least(field.metadata["least"]),
                default=field.default,
                help=field.metadata["help"],
            )
        parser.add_argument(
            "--compression", choices=["none", "gzip"], default="none", help="of the h5ad files"
        )

    @override
    def run(self, args: argparse.Namespace) -> None:
        """Simulate and write.

        Raises:
            UserError: the options do not fit together, or the folder is occupied or not writable.
        """
        require_extra("anndata", "perturbation", "simulate perturbation")
        from runwright.domains.perturbation.simulated_files import (
            FEATURES,
            PLAN,
            write_simulation,
        )

        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
        options = Simulation(**{f.name: getattr(args, f.name) for f in attrs.fields(Simulation)})
        compression = None if args.compression == "none" else args.compression
        folder = write_simulation(args.root, options, compression=compression)
        count = options.cell_types * (options.perturbations * options.cells + options.controls)
        places = {"toml_config_path": PLAN, "perturbation_features_file": FEATURES}
        where = "".join(f" dm.{option}={folder / file}" for option, file in places.items())
        print(
            f"{count:,} simulated cells are in {folder}. Use them with:\n"
            "  python main.py +experiment=perturbation/quickstart"
            f"{'' if args.root == _ROOT else where}"
        )


def _folder(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error


def _at_least(least: int) -> Callable[[str], int]:
    def integer(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"must be ≥ {least}, got {number}")
        return number

    return integer


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be ≥ 0, ≤ 1, got {number}")
    return number
