"""A batch of sets of cells, and what a model predicts of it."""

from typing import TYPE_CHECKING, NamedTuple

import attrs

from runwright import Batch

if TYPE_CHECKING:
    from torch import Tensor


@attrs.frozen(kw_only=True)
class CellSets(Batch):
    """Sets of S cells; the cells of a set have the same cell type and the same perturbation.

    Attributes:
        basal: (B, S, G), float32, a control cell for each perturbed one.
        cells: (B, S, G), float32, the perturbed cells.
        perturbation: (B, P), float32, the vector of the perturbation, once for each set.
        perturbation_index: (B,), int64, the number of the perturbation.
        cell_type: (B,), int64, the number of the cell type.
        batch: (B, S), int64, the number of the experimental batch of each perturbed cell.
        cell: (B, S), int64, which cell of the data set it is.
        mask: (B, S), bool, false in the padding of a set that has fewer than S cells; None where
            every set is full, as in the training.
        genes: (B, S, decoded genes), float32, the expression of the perturbed cells, where it is
            decoded from an embedding; else None.
        basal_genes: (B, S, decoded genes), float32, that of the control cells, where effects on
            decoded genes are measured and no sets of control cells are; else None.
    """

    basal: "Tensor"
    cells: "Tensor"
    perturbation: "Tensor"
    perturbation_index: "Tensor"
    cell_type: "Tensor"
    batch: "Tensor"
    cell: "Tensor"
    mask: "Tensor | None" = None
    genes: "Tensor | None" = None
    basal_genes: "Tensor | None" = None


class Prediction(NamedTuple):
    """What a model returns.

    Attributes:
        cells: (B, S, G), the perturbed cells.
        genes: (B, S, decoded genes), decoded from the embedding; None without a gene decoder.
        confidence: (B,), the loss that the model expects of each set; None without the token.
    """

    cells: "Tensor"
    genes: "Tensor | None" = None
    confidence: "Tensor | None" = None
