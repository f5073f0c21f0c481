"""The commands for cells under perturbation. Imports nothing heavy."""

import argparse
import logging
import sys
from pathlib import Path
from typing import Final

import attrs
from typing_extensions import override

from runwright import (
    Command,
    command,
    folder_argument,
    integer_at_least,
    require_extra,
    share_argument,
)
from runwright.domains.perturbation.migrate_state import MigrateState
from runwright.domains.perturbation.simulation import Simulation

__all__ = ["MigrateState", "SimulatePerturbation"]

_ROOT: Final = Path("data")


@command("simulate perturbation")
class SimulatePerturbation(Command):
    """Simulate cells under perturbation, as h5ad files, of which the true effects are known.

    Perturbations mix a few response programs, and how strongly a cell follows a program depends on
    its state: what a cell type does under a perturbation follows from its control cells and from
    what other cell types do. Some cell types are held out, for few-shot and for zero-shot
    prediction. It is a stand-in for data that you do not have: read like real data, and never used
    unless you ask for it.
    """

    @override
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument(
            "--root",
            type=folder_argument,
            default=_ROOT,
            help="folder in which to make the folder `perturbation`",
        )
        for field in attrs.fields(Simulation):
            parser.add_argument(
                f"--{field.name.replace('_', '-')}",
                type=share_argument
                if field.type is float
                else integer_at_least(field.metadata["least"]),
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
