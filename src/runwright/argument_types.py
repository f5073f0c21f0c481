"""Types of the arguments of commands, for `argparse`, which prints what they say."""

import argparse
from collections.abc import Callable
from pathlib import Path


def folder_argument(text: str) -> Path:
    """A path in which `~` may stand for a home directory."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error


def integer_at_least(least: int) -> Callable[[str], int]:
    """An integer that is not smaller than this."""

    def integer(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"must be ≥ {least}, got {number}")
        return number

    return integer


def share_argument(text: str) -> float:
    """A number from 0 to 1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be ≥ 0, ≤ 1, got {number}")
    return number
