"""A run in a notebook: a bar and the curves, each in a place of its own that is drawn again."""

import io
import sys
import time
from collections.abc import Callable, Collection
from html import escape
from pathlib import Path
from typing import Any, Final

from runwright.rundir.learning_curves import learning_curves

_SECONDS_BETWEEN_UPDATES: Final = 0.2

# Drawing the curves takes at most about this share of the time, but for the last time.
_SHARE_OF_TIME: Final = 0.02

_BAR: Final = (
    "<progress value='{step}' max='{total}' style='width: 20em; vertical-align: middle'></progress>"
    " <code>{text}</code>"
)


def is_notebook() -> bool:
    """Whether a Jupyter kernel runs this, by what it has imported itself."""
    zmqshell: Any = sys.modules.get("ipykernel.zmqshell")
    ipython: Any = sys.modules.get("IPython")
    if zmqshell is None or ipython is None:
        return False
    return isinstance(ipython.get_ipython(), zmqshell.ZMQInteractiveShell)


class NotebookView:
    """The bar of a training, and below it its learning curves."""

    def __init__(self, metrics: Path, *, total: int, curves: Collection[str] | None) -> None:
        """Show an empty bar.

        Args:
            metrics: the table that the curves are drawn from.
            total: the number of steps.
            curves: the names of the validation splits, or None for no curves.
        """
        self._metrics = metrics
        self._total = total
        self._validation = curves
        self._updated = self._drawn = 0.0
        self._seconds_to_draw = 0.0
        self._step = 0
        self._describe: Callable[[], str] | None = None
        self._is_new = False
        # In this order, so that whatever is printed comes below them.
        self._bar = _place()
        self._picture = None if curves is None else _place()

    def advance(self, step: int, describe: Callable[[], str]) -> None:
        """A step is done.

        Args:
            step: its number.
            describe: gives the text beside the bar, if this step is shown.
        """
        self._step, self._describe = step, describe
        is_time = time.monotonic() - self._updated > _SECONDS_BETWEEN_UPDATES
        if is_time or step == self._total:
            self._show_bar()

    def recorded(self) -> None:
        """There is a new row in the table."""
        self._is_new = True
        if self._seconds_to_draw < _SHARE_OF_TIME * (time.monotonic() - self._drawn):
            self._draw()

    def close(self) -> None:
        """Show how far it got."""
        self._show_bar()
        if self._is_new:
            self._draw()

    def _show_bar(self) -> None:
        if self._describe is None:  # nothing has changed
            return
        text, self._describe = self._describe(), None
        html = _BAR.format(step=self._step, total=self._total, text=escape(text))
        self._bar.update(_Shown(html, text))
        self._updated = time.monotonic()

    def _draw(self) -> None:
        from IPython.display import Image

        self._is_new = False
        if self._picture is None or self._validation is None:
            return
        started = time.monotonic()
        figure = learning_curves(self._metrics, self._validation)
        if figure is not None:
            png = io.BytesIO()
            figure.savefig(png, format="png", dpi=80)
            self._picture.update(Image(png.getvalue()))
        self._drawn = time.monotonic()
        self._seconds_to_draw = self._drawn - started


class _Shown:
    """The same as HTML and as text, for whatever shows the notebook."""

    def __init__(self, html: str, text: str) -> None:
        self._html, self._text = html, text

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return self._text


def _place() -> Any:
    """An empty place in the output of the cell; its `update` shows something there."""
    from IPython.display import (
        display,  # pyright: ignore[reportUnknownVariableType]  # it says little of its arguments
    )

    return display(_Shown("", ""), display_id=True)
