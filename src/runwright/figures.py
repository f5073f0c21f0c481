"""Figures without a window or global state."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

_SOFTWARE: Final = "runwright"

COLORS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Colours that differ for the colour-blind as well, all legible on white.

Okabe and Ito, "Color Universal Design", 2008, without its yellow.
"""

LINES: Final = ("-", "--", ":", "-.")
"""Ways of drawing lines, for more of them than there are colours."""

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def line_style(number: int) -> dict[str, Any]:
    """The colour and the way of drawing of a line, different for the first 28 of a picture."""
    return {
        "color": COLORS[number % len(COLORS)],
        "linestyle": LINES[number // len(COLORS) % len(LINES)],
    }


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure, sized in inches, without a window or global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure; a PNG says in its metadata what wrote it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"Software": _SOFTWARE} if path.suffix == ".png" else None
    figure.savefig(path, dpi=120, metadata=metadata)


def is_own_figure(path: Path) -> bool:
    """Whether a file is a PNG that `save_figure` wrote."""
    with path.open("rb") as file:
        begin = file.read(256)
    return begin.startswith(b"\x89PNG") and f"tEXtSoftware\0{_SOFTWARE}".encode() in begin
