"""`python -m runwright simulate`: draw data to try things out with."""

import argparse
import logging
import sys
from pathlib import Path
from typing import Final

from runwright.extras import require_extra
from runwright.plain import home_path

_ROOT: Final = Path("data")
_DESCRIPTION: Final = """\
Draw a stand-in for data that are not at hand. It is read like the real data, and never used unless
it was asked for here.
"""
_CELEBA: Final = """\
Draw cartoon faces with some of the attributes of CelebA, as JPEG files in CelebA's own layout.
Blond hair goes with not being male, as in CelebA: a model that learns the shortcut fails on blond
men.
"""


def main(argv: list[str]) -> int:
    """Run the command.

    Args:
        argv: what follows `simulate` on the command line.

    Returns:
        The exit status.

    Raises:
        UserError: the folder is occupied or cannot be written to.
    """
    args = _parser().parse_args(argv)
    require_extra("PIL", "vision", "simulate celeba")
    from runwright.domains.vision.simulate import simulate_celeba

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    folder = simulate_celeba(
        args.root, num_images=args.num_images, seed=args.seed, correlation=args.correlation
    )
    root = "" if args.root == _ROOT else f" dm.root={args.root}"
    print(
        f"{args.num_images:,} simulated images are in {folder}. Use them with:\n"
        f"  python main.py dm=celeba_male_smiling_small{root} model=cnn opt.lr=1e-3"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runwright simulate", description=_DESCRIPTION)
    datasets = parser.add_subparsers(dest="dataset", required=True, metavar="dataset")
    celeba = datasets.add_parser(
        "celeba",
        help="faces with attributes of CelebA",
        description=_CELEBA,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    celeba.add_argument(
        "--root", type=_folder, default=_ROOT, help="folder to make the folder `celeba` in"
    )
    celeba.add_argument("--num-images", type=_positive, default=2000, help="how many faces to draw")
    celeba.add_argument("--seed", type=_not_negative, default=0, help="seed of the faces")
    celeba.add_argument(
        "--correlation",
        type=_share,
        default=0.86,
        help="how strongly blond hair goes with not being male: 0 not at all, 1 no man is blond, "
        "0.86 as in CelebA, where 2 %% of the men are blond and 24 %% of the women",
    )
    return parser


def _folder(text: str) -> Path:
    return home_path(Path(text))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be ≥ 1, got {number}")
    return number


def _not_negative(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be ≥ 0, got {number}")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be ≥ 0, ≤ 1, got {number}")
    return number
