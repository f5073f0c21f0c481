"""The commands for images. Imports nothing heavy."""

import argparse
import logging
import sys
from pathlib import Path
from typing import Final

from typing_extensions import override

from runwright import (
    Command,
    command,
    folder_argument,
    integer_at_least,
    require_extra,
    share_argument,
)

_ROOT: Final = Path("data")


@command("simulate celeba")
class SimulateCelebA(Command):
    """Draw cartoon faces with some of CelebA's attributes, as JPEG files in CelebA's own layout.

    Blond hair correlates with not being male, as in CelebA: a model that learns the shortcut fails
    on blond men. It is a stand-in for data that you do not have: read like the real data, and never
    used unless you ask for it.
    """

    @override
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument(
            "--root",
            type=folder_argument,
            default=_ROOT,
            help="folder in which to make the folder `celeba`",
        )
        parser.add_argument(
            "--num-images", type=integer_at_least(1), default=2000, help="how many faces to draw"
        )
        parser.add_argument(
            "--seed", type=integer_at_least(0), default=0, help="seed for the faces"
        )
        parser.add_argument(
            "--correlation",
            type=share_argument,
            default=0.86,
            help="how strongly blond hair correlates with not being male: 0 is not at all, 1 means "
            "that no man is blond, 0.86 is as in CelebA (2 %% of the men, 24 %% of the women)",
        )

    @override
    def run(self, args: argparse.Namespace) -> None:
        """Draw the faces.

        Raises:
            UserError: the folder is occupied or not writable.
        """
        require_extra("PIL", "vision", "simulate celeba")
        from runwright.domains.vision.simulated_celeba import simulate_celeba

        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
        folder = simulate_celeba(
            args.root, num_images=args.num_images, seed=args.seed, correlation=args.correlation
        )
        root = "" if args.root == _ROOT else f" dm.root={args.root}"
        print(
            f"{args.num_images:,} simulated images are in {folder}. Use them with:\n"
            f"  python main.py dm=celeba_male_smiling_small{root} model=cnn opt.lr=1e-3"
        )
