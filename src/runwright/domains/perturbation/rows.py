"""Rows of the matrices of an h5ad file, out of a memory map."""

from pathlib import Path
from typing import Any, Final, Protocol

import attrs
import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from runwright import SparseRows, UserError, did_you_mean
from runwright.domains.perturbation import h5ad
from runwright.domains.perturbation.mapped_file import MappedFile
from runwright.domains.perturbation.matrix_copies import mapped_copy
from runwright.domains.perturbation.stretches import Stretches

_CSR: Final = "csr_matrix"


class Rows(Protocol):
    """A matrix of cells, of which any rows can be read."""

    @property
    def width(self) -> int:
        """The number of columns that are read."""
        ...

    def read(self, rows: NDArray[np.int64]) -> "torch.Tensor | SparseRows":
        """Rows of the matrix, float32, (len(rows), width)."""
        ...


@attrs.frozen(kw_only=True, eq=False)
class DenseRows:
    """A dense matrix.

    Attributes:
        file: the file that it is in.
        offset: where it begins in the file, in bytes.
        dtype: the type of the values.
        shape: (N, columns).
        asks: whether to ask for all rows before they are copied; see `MappedFile`.
        columns: which columns are read; None for all.
    """

    file: MappedFile
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, int]
    asks: bool
    columns: NDArray[np.int64] | None = None

    @property
    def width(self) -> int:
        """The number of columns that are read."""
        return self.shape[1] if self.columns is None else len(self.columns)

    def read(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Rows of the matrix, float32, (len(rows), width)."""
        values = self.file.array(self.dtype, self.offset, self.shape)
        if self.asks:
            first = self.offset + rows * values.strides[0]
            self.file.ask_for(first, first + values.strides[0])
        taken = np.take(values, rows, axis=0, mode="clip")
        if self.columns is not None:
            taken = taken[:, self.columns]
        return torch.from_numpy(np.ascontiguousarray(taken, dtype=np.float32))


@attrs.frozen(kw_only=True, eq=False)
class CsrRows:
    """A matrix of which only the nonzero values are stored, row by row.

    Attributes:
        values: (nonzero,).
        indices: (nonzero,), the column of each value.
        offsets: (N + 1,), where each row begins.
        width: the number of columns that are read.
        num_columns: the number of columns of the matrix.
        asks: whether to ask for all rows before they are copied; see `MappedFile`.
        places: (columns,), the place of each column among those that are read, or −1; None if all
            are.
    """

    values: Stretches
    indices: Stretches
    offsets: NDArray[np.int64]
    width: int
    num_columns: int
    asks: bool
    places: NDArray[np.int32] | None = None

    def read(self, rows: NDArray[np.int64]) -> SparseRows:
        """Rows of the matrix, float32, (len(rows), width).

        Raises:
            UserError: a value is in a column that there is not.
        """
        begin, end = self.offsets[rows], self.offsets[rows + 1]
        if self.asks:
            self.values.ask_for(begin, end)
            self.indices.ask_for(begin, end)
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(end - begin, out=offsets[1:])
        values = np.empty(offsets[-1], dtype=np.float32)
        kind = np.int64 if self.indices.dtype.itemsize > 4 else np.int32  # whatever the file has
        columns = np.empty(offsets[-1], dtype=kind)
        self.values.copy_spans(begin, end, offsets, values)
        self.indices.copy_spans(begin, end, offsets, columns)
        # As what is made dense is written without a check. A column below 0 is a very large one.
        last = int(columns.view(f"u{columns.itemsize}").max(initial=0))
        if last >= self.num_columns:
            raise UserError(
                f"{self.values.file.path}: a sparse matrix of {self.num_columns:,} columns has a "
                "value in a column that there is not. The file is damaged; write it anew."
            )
        if self.places is not None:
            columns = self.places[columns]
            is_read = columns >= 0
            kept = np.zeros(len(columns) + 1, dtype=np.int64)
            np.cumsum(is_read, out=kept[1:])
            values, columns, offsets = values[is_read], columns[is_read], kept[offsets]
        return SparseRows(
            values=torch.from_numpy(values),
            columns=torch.from_numpy(columns),
            offsets=torch.from_numpy(offsets),
            width=self.width,
        )


def open_rows(
    path: Path,
    key: str,
    columns: NDArray[np.int64] | None,
    copies: Path,
    *,
    asks: bool = False,
) -> DenseRows | CsrRows:
    """Open a matrix of an h5ad file to read rows of it.

    Args:
        path: the file.
        key: `X`, `layers/…` or `obsm/…`.
        columns: which columns are read, in increasing order; None for all.
        copies: the folder for copies of what cannot be mapped as it is, such as compressed data.
        asks: whether to ask for all rows before they are copied, as they are not in memory.

    Raises:
        UserError: it is not there, or not of a kind that can be read row by row.
    """
    with h5ad.opened(path) as file:
        node = _node(file, key)
        mapped = _mapped(path)
        if _is_dense(node):
            if node.ndim != 2:
                raise UserError(f"{path}: {key} has shape {node.shape}, not (cells, columns).")
            _refuse_other_length(path, key, len(node), h5ad.num_cells(file))
            _refuse_other_width(path, key, node.shape[1], file)
            _refuse_other_values(path, key, node.dtype)
            place, offset = _contiguous(path, node, copies, mapped)
            return DenseRows(
                file=place,
                offset=offset,
                dtype=node.dtype,
                shape=node.shape,
                asks=asks,
                columns=columns,
            )
        kind = str(node.attrs.get("encoding-type", node.attrs.get("h5sparse_format", "")))
        if kind not in (_CSR, "csr"):
            raise UserError(_other_kind(path, key, kind))
        shape = node.attrs.get("shape", node.attrs.get("h5sparse_shape"))
        _refuse_other_length(path, key, int(shape[0]), h5ad.num_cells(file))
        _refuse_other_values(path, key, node["data"].dtype)
        total = int(shape[1])
        _refuse_other_width(path, key, total, file)
        offsets = np.asarray(node["indptr"][:], dtype=np.int64)
        _refuse_wrong_offsets(path, key, offsets, int(shape[0]), node)
        places = None
        if columns is not None:
            places = np.full(total, -1, dtype=np.int32)
            places[columns] = np.arange(len(columns), dtype=np.int32)
        return CsrRows(
            values=_stretches(path, node["data"], copies, mapped),
            indices=_stretches(path, node["indices"], copies, mapped),
            offsets=offsets,
            width=total if columns is None else len(columns),
            num_columns=total,
            asks=asks,
            places=places,
        )


def _is_dense(node: Any) -> bool:
    return isinstance(node, h5py.Dataset)


def _other_kind(path: Path, key: str, kind: str) -> str:
    group, _, name = key.rpartition("/")
    there = f"adata.{group}['{name}']" if group else f"adata.{key}"
    if kind.startswith("csc"):
        said, way = "by columns (CSC)", f"{there}.tocsr()"
    elif kind == "dataframe":
        said, way = "as a table", f"{there}.to_numpy()"
    else:
        said, way = f"as '{kind}'", f"scipy.sparse.csr_matrix({there})"
    return (
        f"{path}: {key} is stored {said}, which cannot be read cell by cell. Write it by rows: "
        f"`{there} = {way}`, then write_h5ad."
    )


def _refuse_other_values(path: Path, key: str, kind: np.dtype[Any]) -> None:
    if kind.kind not in "biuf":
        raise UserError(f"{path}: the values of {key} are of type {kind}, not real numbers.")


def _refuse_other_length(path: Path, key: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise UserError(
            f"{path}: {key} has {found:,} rows, and obs has {wanted:,} cells. Write the file with "
            "the anndata package, which keeps them together."
        )


def _refuse_other_width(path: Path, key: str, found: int, file: Any) -> None:
    wanted = len(h5ad.gene_names(file)) if key == "X" else found
    if found != wanted:
        raise UserError(
            f"{path}: {key} has {found:,} columns, and var has {wanted:,} genes. Write the file "
            "with the anndata package, which keeps them together."
        )


def _refuse_wrong_offsets(
    path: Path, key: str, offsets: NDArray[np.int64], num_rows: int, node: Any
) -> None:
    """Refuse a sparse matrix whose parts contradict each other."""
    ends = len(node["data"]), len(node["indices"])
    is_right = len(offsets) == num_rows + 1 and {int(offsets[-1])} == set(ends)
    if not is_right or offsets[0] != 0 or (np.diff(offsets) < 0).any():
        raise UserError(
            f"{path}: {key} is damaged: where its rows begin (indptr) does not fit its "
            f"{num_rows:,} rows and {ends[0]:,} values. Write the file anew."
        )


def _node(file: Any, key: str) -> Any:
    if key in file:
        return file[key]
    group, _, name = key.rpartition("/")
    there: list[str] = list(file[group]) if group and group in file else []
    if group == "obsm":
        raise UserError(
            f"{file.filename} has no embedding '{name}' in obsm (dm.embed_key). "
            f"{did_you_mean(name, there)}"
        )
    raise UserError(
        f"{file.filename} has no {key}, the expression of the cells; it has {', '.join(file)}. Set "
        "adata.X, or choose an embedding instead: dm.embed_key=… dm.output_space=embedding."
    )


def _stretches(path: Path, node: Any, copies: Path, mapped: MappedFile) -> Stretches:
    is_plain = node.chunks and not node.id.get_create_plist().get_nfilters()
    if is_plain and node.size and node.id.get_num_chunks() * node.chunks[0] >= len(node):
        return Stretches.of_chunks(mapped, node)
    file, offset = _contiguous(path, node, copies, mapped)
    return Stretches.at(file, node.dtype, np.array([0, len(node)]), np.array([offset]))


def _contiguous(path: Path, node: Any, copies: Path, mapped: MappedFile) -> tuple[MappedFile, int]:
    """Where the values of a data set lie one after another: in its file, or else in a copy."""
    if node.size == 0:
        return mapped, 0
    offset = node.id.get_offset()
    if offset is not None and not node.external:
        return mapped, offset
    copy, offset = mapped_copy(path, node, copies)
    return _mapped(copy), offset


def _mapped(path: Path) -> MappedFile:
    try:
        return MappedFile(path)
    except OSError as error:
        raise UserError(h5ad.unreadable(path, error)) from error
