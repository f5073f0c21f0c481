"""Figures without a window or global state."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

_SOFTWARE: Final = "runwright"

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
