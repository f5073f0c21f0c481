"""Tables as text, Markdown and LaTeX."""

import re
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Final

from runwright.comparison.table import Column, short_names

_MARKS_OF_LATEX: Final = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    "…": r"\dots{}",
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
}
_NARROW: Final = 14  # characters that are left of a text that is cut


def as_text(columns: Sequence[Column], width: int | None = None) -> str:
    """Lines with every column as wide as its widest cell.

    Args:
        columns: the table.
        width: what the lines should fit in, in characters. Then keys become short, and directories
            and long options are cut, as far as that is necessary; numbers are never cut.
    """
    rows = _rows(columns)
    if width is not None and _width(rows) > width:
        rows[0] = _short_header(columns)
    if width is not None:
        for index in _by_width([i for i, one in enumerate(columns) if one.kind != "measure"], rows):
            over = _width(rows) - width
            if over > 0:
                keep = max(_NARROW, _widest(rows, index) - over)
                at_end = columns[index].name == "directory"
                rows = [_with_cut(row, index, keep, at_end=at_end) for row in rows]
    return aligned(rows)


def as_markdown(columns: Sequence[Column]) -> str:
    """A table in Markdown, as GitHub shows it; numbers are right-aligned."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in _rows(columns)]
    rows[0] = _short_header(columns)
    marks = ["---" if one.kind == "option" else "---:" for one in columns]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], marks, *rows[1:]])


def as_latex(columns: Sequence[Column]) -> str:
    """A `tabular` with the rules of the package booktabs."""
    rows = [_short_header(columns), *_rows(columns)[1:]]
    header, *body = [" & ".join(map(_in_latex, row)) + r" \\" for row in rows]
    places = "".join("l" if one.kind == "option" else "r" for one in columns)
    return "\n".join(
        [
            f"\\begin{{tabular}}{{{places}}}",
            r"\toprule",
            header,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


FORMATS: Final[dict[str, Callable[[Sequence[Column]], str]]] = {
    "text": as_text,
    "markdown": as_markdown,
    "latex": as_latex,
}


def terminal_width() -> int | None:
    """The characters in a line of the terminal; None if the output goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """The rows as lines, every column as wide as its widest cell."""
    widths = [_widest(rows, index) for index in range(len(rows[0]))]
    lines = ("  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _rows(columns: Sequence[Column]) -> list[list[str]]:
    bodies = zip(*(one.cells for one in columns), strict=True)
    return [[one.name for one in columns], *(list(row) for row in bodies)]


def _short_header(columns: Sequence[Column]) -> list[str]:
    names = iter(short_names([one.name for one in columns if one.kind == "option"]))
    return [next(names) if one.kind == "option" else one.name for one in columns]


def _widest(rows: Sequence[Sequence[str]], index: int) -> int:
    return max(len(row[index]) for row in rows)


def _width(rows: Sequence[Sequence[str]]) -> int:
    return sum(_widest(rows, index) + 2 for index in range(len(rows[0]))) - 2


def _by_width(indices: Sequence[int], rows: Sequence[Sequence[str]]) -> list[int]:
    return sorted(indices, key=lambda index: -_widest(rows, index))


def _with_cut(row: Sequence[str], index: int, keep: int, *, at_end: bool) -> list[str]:
    """A row with one cell cut: of a directory its end tells it apart, of the rest both ends do."""
    cell = row[index]
    if len(cell) > keep:
        begin = 0 if at_end else keep // 2
        cell = f"{cell[:begin]}…{cell[len(cell) - (keep - begin - 1) :]}"
    return [*row[:index], cell, *row[index + 1 :]]


def _in_latex(cell: str) -> str:
    return re.sub(r"[\\~^±–…&%$#_{}]", lambda mark: _MARKS_OF_LATEX[mark[0]], cell)
