"""What is known about cells and their perturbations before a model is built."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import attrs
from attrs.validators import ge, optional

from runwright import Dims

OutputSpace = Literal["gene", "all", "embedding"]
"""What is predicted: the highly variable genes, all genes, or an embedding of the cells."""


@attrs.frozen(kw_only=True)
class PerturbationDims(Dims):
    """Sets of cells, and what was done to them.

    Attributes:
        features: G, the length of a cell: of what a model gets of a control cell, and of what it
            predicts of a perturbed one. Genes, or the dimensions of an embedding.
        perturbation_features: P, the length of the vector of a perturbation.
        num_batches: the number of experimental batches.
        output_space: what is predicted; only an embedding has negative values.
        decoded_genes: the number of genes that are predicted from the embedding besides it; None
            if none are.
        cell_type_names, perturbation_names, batch_names: the names, by number. The control is
            among the perturbations.
        gene_names: the names of the genes that are predicted, or decoded.
        control: the number of the control among the perturbations.
        cell_files: the h5ad files of the cells, each with the number of its first cell.
        columns: what the columns of the cell types, perturbations and batches are called in the
            files.

    Dims that differ only in names are equal: the same model is built from them.
    """

    features: int = attrs.field(validator=ge(1))
    perturbation_features: int = attrs.field(validator=ge(1))
    num_batches: int = attrs.field(default=1, validator=ge(1))
    output_space: OutputSpace = "gene"
    decoded_genes: int | None = attrs.field(default=None, validator=optional(ge(1)))
    cell_type_names: tuple[str, ...] = attrs.field(default=(), eq=False, repr=False)
    perturbation_names: tuple[str, ...] = attrs.field(default=(), eq=False, repr=False)
    batch_names: tuple[str, ...] = attrs.field(default=(), eq=False, repr=False)
    gene_names: tuple[str, ...] = attrs.field(default=(), eq=False, repr=False)
    control: int = attrs.field(default=0, eq=False, repr=False)
    cell_files: tuple[tuple[Path, int], ...] = attrs.field(default=(), eq=False, repr=False)
    columns: Mapping[str, str] = attrs.field(
        default={"cell_type": "cell_type", "perturbation": "perturbation"}, eq=False, repr=False
    )

    @property
    def is_expression(self) -> bool:
        """Whether what is predicted is the expression of genes, which is never negative."""
        return self.output_space != "embedding" and self.decoded_genes is None
