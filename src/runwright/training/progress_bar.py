"""The progress bar of a training in a terminal."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from typing_extensions import override

if TYPE_CHECKING:
    from tqdm import tqdm


def progress_bar(*, total: int, initial: int) -> "tqdm[Any]":
    """A bar on the terminal that keeps to its width, even when that changes."""
    from tqdm import tqdm

    class Bar(tqdm):  # pyright: ignore[reportMissingTypeArgument]  # only its stubs take one
        @property
        @override
        def format_dict(self) -> Any:
            self.ncols, self.nrows = _terminal_size()
            return super().format_dict

        @staticmethod
        @override
        def status_printer(file: Any) -> Callable[[str], None]:
            def show(text: str) -> None:  # tqdm would pad it to the previous width
                file.write("\r" + text.ljust(_terminal_size()[0]))
                file.flush()

            return show

    columns, rows = _terminal_size()
    return Bar(total=total, initial=initial, unit="step", ncols=columns, nrows=rows)


def _terminal_size() -> tuple[int, int]:
    """Columns and rows of the terminal that the bar is on; 80 × 24 if unknown."""
    try:
        columns, rows = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        columns, rows = 0, 0
    return columns or 80, rows or 24
