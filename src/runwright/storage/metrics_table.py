"""What a run measured, as columns: `metrics.csv` to look at and to draw."""

import csv
import io
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from runwright.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

# Of a long table, so many of its first and of its last rows are shown.
_SHOWN: Final = 5


class NoSuchColumnError(UserError, KeyError):
    """A column that a table does not have."""

    @override
    def __str__(self) -> str:
        return str(self.args[0])


class MetricsTable(Mapping[str, "NDArray[Any]"]):
    """A table of measures: an array for each column, with a row for each step that has any.

    Where a measure was not taken it is NaN; `curve` leaves those rows out, for drawing:

        run.metrics["val_loss"].min()
        plt.plot(*run.metrics.curve("val_loss"))
        run.metrics.to_pandas()
    """

    def __init__(self, columns: "Mapping[str, NDArray[Any]]") -> None:
        """A table of these columns, which are of one length; one is called `step`."""
        self._columns = dict(columns)

    @classmethod
    def read(cls, path: Path | str) -> "MetricsTable":
        """Read `metrics.csv`, of a run directory or by itself; a run may be writing to it.

        Raises:
            UserError: it does not exist, or something else has changed it.
        """
        import numpy as np

        path = Path(path)
        file = path / "metrics.csv" if path.is_dir() else path
        try:
            whole, _, _ = file.read_text().rpartition("\n")  # a crash may have cut the last row
            rows = csv.DictReader(io.StringIO(whole, newline=""))
            taken = [(int(row["step"]), row) for row in rows]
            columns = {
                name: np.array([float(row[name] or "nan") for _, row in taken])
                for name in rows.fieldnames or []
            }
        except FileNotFoundError as error:
            raise UserError(f"{file} does not exist.") from error
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{file} is not as a run wrote it: every row must have a number, or nothing, in "
                "each column, and an integer in 'step'."
            ) from error
        return cls({**columns, "step": np.array([step for step, _ in taken], dtype=np.int64)})

    @property
    def num_rows(self) -> int:
        """How many steps have a row."""
        return len(next(iter(self._columns.values()), ()))

    @override
    def __getitem__(self, name: str) -> "NDArray[Any]":
        if name not in self._columns:
            raise NoSuchColumnError(f"There is no column '{name}'. {did_you_mean(name, self)}")
        return self._columns[name]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    @override
    def __len__(self) -> int:
        return len(self._columns)

    def curve(self, name: str) -> "tuple[NDArray[Any], NDArray[Any]]":
        """The steps at which something was measured, and its values there."""
        import numpy as np

        values = self[name]
        is_measured = ~np.isnan(values)
        return self["step"][is_measured], values[is_measured]

    def to_pandas(self) -> "DataFrame":
        """The same as a DataFrame of pandas, which must be installed, with `step` as its index.

        Raises:
            UserError: pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise UserError(
                "to_pandas needs pandas: `pip install pandas`. Without it, dict(table) has the "
                "columns as arrays."
            ) from error
        return DataFrame(self._columns).set_index("step")

    @override
    def __repr__(self) -> str:
        rows = self._shown()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        aligned = ["  ".join(map(str.rjust, row, widths)) for row in rows]
        return "\n".join([*aligned, self._size()])

    def _repr_html_(self) -> str:
        from html import escape

        rows = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in self._shown()]
        return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table><p>{self._size()}</p>"

    def _shown(self) -> list[list[str]]:
        """The names, and all rows of a short table, as text."""

        def texts(part: slice) -> list[list[str]]:
            columns = [column[part].tolist() for column in self._columns.values()]
            return [[_text(value) for value in row] for row in zip(*columns, strict=True)]

        if self.num_rows <= 2 * _SHOWN:
            return [list(self), *texts(slice(None))]
        gap = ["…"] * len(self)
        return [list(self), *texts(slice(_SHOWN)), gap, *texts(slice(-_SHOWN, None))]

    def _size(self) -> str:
        return f"{self.num_rows} rows, {len(self)} columns"


def _text(value: float) -> str:
    if math.isnan(value):
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"
