"""The h5ad files of cells, opened to read what a model gets and predicts."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from runwright import UserError
from runwright.domains.perturbation import h5ad
from runwright.domains.perturbation.cell_table import CellTable, aligned_genes
from runwright.domains.perturbation.cells import Cells
from runwright.domains.perturbation.dims import OutputSpace
from runwright.domains.perturbation.rows import Rows, open_rows

log = logging.getLogger(__name__)

# Files that take more than this share of the memory are read from disk again and again.
_KEPT_IN_MEMORY: Final = 0.5


def predicted_genes(path: Path, output_space: OutputSpace) -> list[str]:
    """The genes of a file that are predicted, or decoded from an embedding."""
    with h5ad.opened(path) as file:
        if output_space == "embedding":
            return []
        names = h5ad.gene_names(file)
        chosen = names[h5ad.highly_variable(file)] if output_space == "gene" else names
        return [str(name) for name in chosen]


def open_cells(
    table: CellTable,
    genes: Sequence[str],
    vectors: torch.Tensor,
    *,
    output_space: OutputSpace,
    embed_key: str | None,
    control: str,
    copies: Path,
) -> Cells:
    """Open the files of a table.

    Args:
        table: the cells.
        genes: the genes that are predicted, or decoded.
        vectors: (perturbations, P), on the training device.
        output_space: what is predicted.
        embed_key: the embedding that a model gets; None if that is the expression.
        control: the perturbation of the control cells.
        copies: the folder for copies of compressed files.

    Raises:
        UserError: a file lacks a matrix or a gene, or embeddings differ in length.
    """
    asks = sum(path.stat().st_size for path in table.files) > _KEPT_IN_MEMORY * _memory()
    of_genes: list[Rows] = []
    embedding: list[Rows] = []
    for path in table.files:
        if embed_key is not None:
            embedding.append(open_rows(path, f"obsm/{embed_key}", None, copies, asks=asks))
        if output_space != "embedding":
            with h5ad.opened(path) as file:
                places = aligned_genes(file, genes)
                extra = len(h5ad.gene_names(file)) - len(genes)
            if extra > 0 and output_space == "all":
                log.warning(
                    "%s has %d genes that the first file of the training lacks; they are left out.",
                    path,
                    extra,
                )
            if output_space == "gene":
                _tell_other_variable_genes(path, genes)
            of_genes.append(open_rows(path, "X", places, copies, asks=asks))
    _refuse_different_widths(table, embedding, embed_key)
    return Cells(
        table=table,
        rows=tuple(embedding or of_genes),
        genes=tuple(of_genes) if embedding and of_genes else None,
        embedding=f"obsm/{embed_key}" if embedding else None,
        vectors=vectors,
        control=table.perturbations.index(control),
    )


def _tell_other_variable_genes(path: Path, genes: Sequence[str]) -> None:
    """Warn if a file marks other genes as highly variable than those that are predicted."""
    with h5ad.opened(path) as file:
        if not h5ad.says_highly_variable(file):
            return
        marked = set(h5ad.gene_names(file)[h5ad.highly_variable(file)].tolist())
    if marked != set(genes):
        log.warning(
            "%s marks other genes as highly variable (%d) than the first file of the training "
            "(%d, of which %d are the same); those of the first file are used.",
            path,
            len(marked),
            len(genes),
            len(marked & set(genes)),
        )


def _refuse_different_widths(
    table: CellTable, embedding: Sequence[Rows], embed_key: str | None
) -> None:
    if len({rows.width for rows in embedding}) > 1:
        pairs = zip(table.files, embedding, strict=True)
        shown = ", ".join(f"{path.name} {rows.width}" for path, rows in pairs)
        raise UserError(
            f"The embeddings obsm/{embed_key} differ in length: {shown}. All files need the same "
            "one."
        )


def _memory() -> int:
    """The memory of this machine, in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
