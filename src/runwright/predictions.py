"""The table of predictions: a row for each example, as CSV or Parquet."""

import contextlib
import csv
import importlib
import io
import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from runwright.errors import UserError
from runwright.extras import require_extra
from runwright.storage.atomic_files import replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

TableFormat = Literal["csv", "parquet"]
Columns = Mapping[str, "NDArray[Any]"]
"""Arrays of shape (B,) or (B, D), such as embeddings: a row for each example."""


@contextlib.contextmanager
def table_of_predictions(
    path: Path, table_format: TableFormat
) -> Generator[Callable[[Columns], None]]:
    """Write a table batch by batch; the file appears when all batches have been written.

    A column of shape (B, D) becomes D columns of a CSV file, `embedding_0` and so on, and one
    column of lists of a Parquet file.

    Raises:
        UserError: a batch has other columns than the first one, or they differ in length.
        MissingExtraError: pyarrow is not installed.
    """
    import numpy as np

    rows = 0
    names: list[str] = []
    with replacing(path) as file, _writer(file, table_format) as write:

        def add(columns: Columns) -> None:
            nonlocal rows
            count = _count(columns, names, path)
            write({"index": np.arange(rows, rows + count), **columns})
            rows += count

        yield add
    log.info("Wrote %d predictions to %s.", rows, path)


def _count(columns: Columns, names: list[str], path: Path) -> int:
    """The number of rows, after checking that columns have the same length, batches the columns."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1:
        raise UserError(f"{path.name}: the columns of a batch differ in length: {lengths}.")
    if names and names != list(columns):
        raise UserError(
            f"{path.name}: a batch has the columns {', '.join(columns)}; the first one had "
            f"{', '.join(names)}."
        )
    names[:] = list(columns)
    return next(iter(lengths.values()))


@contextlib.contextmanager
def _writer(file: BinaryIO, table_format: TableFormat) -> Generator[Callable[[Columns], None]]:
    if table_format == "csv":
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        rows = csv.writer(text, lineterminator="\n")
        header: list[str] = []

        def write(columns: Columns) -> None:
            flat = dict(_flat(columns))
            if not header:
                header.extend(flat)
                rows.writerow(header)
            rows.writerows(zip(*(column.tolist() for column in flat.values()), strict=True))

        yield write
        text.detach()  # flushes it, and leaves the file open
        return
    require_extra("pyarrow", "parquet", "stage.format=parquet")
    pyarrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    opened: list[Any] = []

    def write_group(columns: Columns) -> None:
        arrays = {
            name: pyarrow.array(list(column) if column.ndim > 1 else column)
            for name, column in columns.items()
        }
        table = pyarrow.table(arrays)
        if not opened:
            opened.append(parquet.ParquetWriter(file, table.schema))
        opened[0].write_table(table)

    yield write_group
    for one in opened:
        one.close()


def _flat(columns: Columns) -> "Iterator[tuple[str, NDArray[Any]]]":
    for name, column in columns.items():
        if column.ndim == 1:
            yield name, column
        else:
            wide = column.reshape(len(column), -1)
            yield from ((f"{name}_{place}", wide[:, place]) for place in range(wide.shape[1]))
