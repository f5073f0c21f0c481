"""The table of what was measured while a run trains."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from runwright.errors import UserError
from runwright.storage.atomic_files import write_bytes

_FIRST_COLUMNS: Final = ("step", "epoch", "lr")


class MetricsCsv:
    """`metrics.csv`: one row per step at which something was measured, one column per measure."""

    def __init__(self, path: Path) -> None:
        """Continue the table at `path`, or begin one."""
        self.path = path
        self.columns = list(csv.DictReader(io.StringIO(self._text())).fieldnames or [])

    def truncate(self, step: int, columns: Iterable[str] = ()) -> int:
        """Drop the rows after a step: a resumed run will write them again.

        Args:
            step: the last step to keep.
            columns: those that a new table begins with, after that of the step.

        Returns:
            The step of the last row that is left, or 0.

        Raises:
            UserError: the table was changed by someone else.
        """
        try:
            kept = [row for row in self.rows() if int(row["step"]) <= step]
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged("every row must have an integer in 'step'") from error
        self.columns = self.columns or ["step", *columns]
        self._rewrite(kept)
        return max((int(row["step"]) for row in kept), default=0)

    def rows(self) -> list[dict[str, str]]:
        """All rows so far, except one that a crash cut short."""
        whole, _, _ = self._text().rpartition("\n")
        return list(csv.DictReader(io.StringIO(whole, newline="")))

    def _text(self) -> str:
        content = self.path.read_bytes() if self.path.exists() else b""
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            raise self._damaged("it is not text") from error
        header, newline, _ = text.partition("\n")
        if text and (header.split(",")[0] != "step" or not newline or "\0" in text):
            raise self._damaged("its first line must name the columns, 'step' first")
        return text

    def _damaged(self, why: str) -> UserError:
        return UserError(
            f"{self.path} is not as this run wrote it: {why}. Fix it, or delete it to continue "
            "with a new table."
        )

    def append(self, row: Mapping[str, float]) -> None:
        """Add a row; a measure that is new adds a column."""
        if new := [name for name in row if name not in self.columns]:
            rows = self.rows()
            self.columns = sorted([*self.columns, *new], key=_column_rank)
            self._rewrite(rows)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)

    def _rewrite(self, rows: Sequence[Mapping[str, str]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_bytes(self.path, text.getvalue().encode())


def _column_rank(name: str) -> int:
    """The position of a column: the same order, whatever was measured first."""
    if name.startswith("lr_"):
        name = "lr"
    if name in _FIRST_COLUMNS:
        return _FIRST_COLUMNS.index(name)
    return len(_FIRST_COLUMNS) + (not name.startswith("train_"))
