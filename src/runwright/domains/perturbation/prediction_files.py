"""Predicted and real cells as h5ad files, written batch by batch."""

import contextlib
import logging
import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import pandas
import torch
from anndata import io as _anndata_io
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from runwright import UserError
from runwright.domains.perturbation import h5ad
from runwright.domains.perturbation.batch import CellSets, Prediction
from runwright.domains.perturbation.dims import PerturbationDims

log = logging.getLogger(__name__)

_CHUNK: Final = 2**18  # values of X

_IO: Final[Any] = _anndata_io  # its types name more kinds of values than pyright can follow


class CellFile:
    """An h5ad file that cells are appended to; what is held in memory is what they are, not X."""

    def __init__(self, path: Path, dims: PerturbationDims) -> None:
        """Begin a file.

        Args:
            path: the file.
            dims: those of the data; cells have the names that they have in its files.
        """
        width = dims.features if dims.decoded_genes is None else dims.decoded_genes
        self._file = h5py.File(path, "w")
        self._file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        # As anndata would write it. Appending with anndata reads all rows before, each time.
        self._x: Any = self._file.create_group("X")
        self._x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        for name, kind in (("data", np.float32), ("indices", np.int32)):
            self._x.create_dataset(name, (0,), kind, maxshape=(None,), chunks=(_CHUNK,))
        self._offsets: list[NDArray[np.int64]] = [np.zeros(1, dtype=np.int64)]
        self._dims = dims
        self._width = width
        self._columns: dict[str, list[NDArray[np.int64]]] = {}

    def append(self, cells: NDArray[np.float32], **columns: NDArray[np.int64]) -> None:
        """Append cells, (N, width), with the numbers of what they are, (N,) each."""
        rows: Any = csr_matrix(cells)
        before = len(self._x["data"])
        for name in ("data", "indices"):
            self._x[name].resize((before + rows.nnz,))
            self._x[name][before:] = getattr(rows, name)
        self._offsets.append(before + rows.indptr[1:].astype(np.int64))
        for name, values in columns.items():
            self._columns.setdefault(name, []).append(values)

    def finish(self) -> int:
        """Write what the cells are; returns their number."""
        columns = {name: np.concatenate(parts) for name, parts in self._columns.items()}
        dims = self._dims
        offsets = np.concatenate(self._offsets)
        self._x.create_dataset("indptr", data=offsets)
        self._x.attrs["shape"] = np.array([len(offsets) - 1, self._width])
        categories = {
            "cell_type": dims.cell_type_names,
            "perturbation": dims.perturbation_names,
            "batch": dims.batch_names,
        }
        barcodes: Any = barcodes_of(columns["cell"], dims.cell_files)
        genes: Any = list(dims.gene_names) or [f"dimension_{place}" for place in range(self._width)]
        obs = pandas.DataFrame(
            {
                name: pandas.Categorical.from_codes(columns[k], categories=list(categories[k]))
                for k, name in dims.columns.items()
            },
            index=barcodes,
        )
        _IO.write_elem(self._file, "obs", obs)
        _IO.write_elem(self._file, "var", pandas.DataFrame(index=genes))
        for group in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
            _IO.write_elem(self._file, group, {})
        self._file.close()
        return len(obs)

    def abandon(self) -> None:
        """Close the file without finishing it."""
        self._file.close()


def barcodes_of(cells: NDArray[np.int64], files: Sequence[tuple[Path, int]]) -> NDArray[np.object_]:
    """The names of cells, (N,), in the files that they are in, one file at a time.

    Where cells of several files, or of one, have the same name, their numbers are added to it.

    Args:
        cells: (N,), their numbers.
        files: the files, each with the number of its first cell; without any, all are numbered.
    """
    if not files:
        return np.array([f"cell_{cell}" for cell in cells.tolist()], dtype=object)
    names = np.empty(len(cells), dtype=object)
    starts = np.array([start for _, start in files])
    of = np.searchsorted(starts, cells, side="right") - 1
    for number, (path, start) in enumerate(files):
        mine = of == number
        if not mine.any():
            continue
        with h5ad.opened(path) as file:
            names[mine] = h5ad.cell_names(file)[cells[mine] - start]
    _, place, count = np.unique(names.astype(str), return_inverse=True, return_counts=True)
    repeated = count[place] > 1
    if repeated.any():
        log.info("%d cells have the name of another; their numbers are added.", repeated.sum())
        pairs = zip(names[repeated], cells[repeated].tolist(), strict=True)
        names[repeated] = [f"{name}-{cell}" for name, cell in pairs]
    return names


@contextlib.contextmanager
def cell_file(path: Path, dims: PerturbationDims) -> Generator[CellFile]:
    """A file that is there when all its cells are written; see `CellFile`.

    Raises:
        UserError: it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.tmp")
    try:
        file = CellFile(unfinished, dims)
        try:
            yield file
            count = file.finish()
        finally:
            file.abandon()
        os.replace(unfinished, path)  # noqa: PTH105  # atomic, over one of before
        log.info("Wrote %d cells to %s.", count, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error}.") from error
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def cell_files(folder: Path, split: str, dims: PerturbationDims) -> Generator["PredictionFiles"]:
    """Files for the predicted and the real cells of a split, there when all are written.

    Args:
        folder: the run directory.
        split: the name of the split.
        dims: those of the data.

    Raises:
        UserError: they cannot be written.
    """
    with (
        cell_file(folder / f"adata_pred_{split}.h5ad", dims) as predicted,
        cell_file(folder / f"adata_real_{split}.h5ad", dims) as real,
    ):
        yield PredictionFiles(predicted, real, dims)


class PredictionFiles:
    """Writes the predicted and the real cells of each batch, without the padding.

    Control cells are the same in both: a prediction of them is none of an effect.
    """

    def __init__(self, predicted: CellFile, real: CellFile, dims: PerturbationDims) -> None:
        """Append to two files."""
        self._predicted = predicted
        self._real = real
        self._dims = dims

    def write(self, outputs: Prediction, batch: CellSets) -> None:
        """Append a batch to both files."""
        predicted, real = cells_of(outputs, batch, self._dims)
        columns = columns_of(batch)
        for file, cells in ((self._predicted, predicted), (self._real, real)):
            file.append(cells, **columns)


def cells_of(
    outputs: Prediction, batch: CellSets, dims: PerturbationDims
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The predicted and the real cells of a batch, (N, genes), without the padding."""
    predicted, real = outputs.cells, batch.cells
    if outputs.genes is not None and batch.genes is not None:
        predicted, real = outputs.genes, batch.genes
    is_control = (batch.perturbation_index == dims.control)[:, None, None]
    predicted = torch.where(is_control, real, predicted)
    mask = _mask(batch)
    return predicted[mask].float().cpu().numpy(), real[mask].float().cpu().numpy()


def columns_of(batch: CellSets) -> dict[str, NDArray[np.int64]]:
    """What the cells of a batch are, (N,), without the padding."""
    size = batch.cell.shape[1]
    columns = {
        "cell_type": batch.cell_type[:, None].expand(-1, size),
        "perturbation": batch.perturbation_index[:, None].expand(-1, size),
        "batch": batch.batch,
        "cell": batch.cell,
    }
    return {name: column[_mask(batch)].cpu().numpy() for name, column in columns.items()}


def _mask(batch: CellSets) -> torch.Tensor:
    return torch.ones_like(batch.cell, dtype=torch.bool) if batch.mask is None else batch.mask
