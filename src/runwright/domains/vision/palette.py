"""The colours of coloured digits."""

from typing import Final

PALETTE: Final = {
    "red": (230, 25, 75),
    "green": (60, 180, 75),
    "blue": (40, 100, 255),
    "yellow": (255, 225, 25),
    "orange": (245, 130, 48),
    "purple": (145, 30, 180),
    "cyan": (70, 240, 240),
    "magenta": (240, 50, 230),
    "grey": (128, 128, 128),
    "brown": (170, 110, 40),
}
"""Red, green and blue (0 … 255) of each, by name; options number them from 0."""
