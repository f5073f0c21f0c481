"""Predicted and real cells as h5ad files, written batch by batch."""

import contextlib
import logging
import os
from collections.abc import Generator
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
from runwright.domains.perturbation.batch import CellSets, Prediction
from runwright.domains.perturbation.dims import PerturbationDims

log = logging.getLogger(__name__)

_IO: Final[Any] = _anndata_io  # its types name more kinds of values than pyright can follow


class CellFile:
    """An h5ad file that cells are appended to; what is held in memory is what they are, not X."""

    def __init__(self, path: Path, dims: PerturbationDims, width: int) -> None:
        """Begin a file of cells with `width` values each."""
        self._file = h5py.File(path, "w")
        self._file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        _IO.write_elem(self._file, "X", csr_matrix((0, width), dtype=np.float32))
        self._x: Any = _IO.sparse_dataset(self._file["X"])
        self._dims = dims
        self._width = width
        self._columns: dict[str, list[NDArray[np.int64]]] = {}

    def append(self, cells: NDArray[np.float32], **columns: NDArray[np.int64]) -> None:
        """Append cells, (N, width), with the numbers of what they are, (N,) each."""
        self._x.append(csr_matrix(cells))
        for name, values in columns.items():
            self._columns.setdefault(name, []).append(values)

    def finish(self) -> int:
        """Write what the cells are; returns their number."""
        columns = {name: np.concatenate(parts) for name, parts in self._columns.items()}
        dims = self._dims
        categories = {
            "cell_type": dims.cell_type_names,
            "perturbation": dims.perturbation_names,
            "batch": dims.batch_names,
        }
        barcodes: Any = [f"cell_{cell}" for cell in columns["cell"].tolist()]
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
    paths = {kind: folder / f"adata_{kind}_{split}.h5ad" for kind in ("pred", "real")}
    unfinished = {kind: path.with_name(f".{path.name}.tmp") for kind, path in paths.items()}
    width = dims.features if dims.decoded_genes is None else dims.decoded_genes
    files: dict[str, CellFile] = {}
    try:
        for kind, path in unfinished.items():
            files[kind] = CellFile(path, dims, width)
        yield PredictionFiles(files["pred"], files["real"], dims)
        counts = [file.finish() for file in files.values()]
        for kind, path in unfinished.items():
            os.replace(path, paths[kind])  # noqa: PTH105  # atomic, over one of before
        log.info("Wrote %d cells to %s, predicted and real.", counts[0], folder)
    except OSError as error:
        raise UserError(f"The predicted cells cannot be written to {folder}: {error}.") from error
    finally:
        for file in files.values():
            file.abandon()
        for path in unfinished.values():
            path.unlink(missing_ok=True)


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
        predicted, real = outputs.cells, batch.cells
        if outputs.genes is not None and batch.genes is not None:
            predicted, real = outputs.genes, batch.genes
        is_control = (batch.perturbation_index == self._dims.control)[:, None, None]
        predicted = torch.where(is_control, real, predicted)
        size = real.shape[1]
        columns = {
            "cell_type": batch.cell_type[:, None].expand(-1, size),
            "perturbation": batch.perturbation_index[:, None].expand(-1, size),
            "batch": batch.batch,
            "cell": batch.cell,
        }
        mask = torch.ones_like(batch.cell, dtype=torch.bool) if batch.mask is None else batch.mask
        kept = {name: column[mask].cpu().numpy() for name, column in columns.items()}
        for file, cells in ((self._predicted, predicted), (self._real, real)):
            file.append(cells[mask].float().cpu().numpy(), **kept)
