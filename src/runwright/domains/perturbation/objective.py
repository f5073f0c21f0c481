"""Training on sets of cells: the loss of each set, and what joins it."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from typing_extensions import override

from runwright import FittedModel, Measure, OutputObjective, TableFormat, UserError, require_extra
from runwright.domains.perturbation.batch import CellSets, Prediction
from runwright.domains.perturbation.cell_sample import CellSample
from runwright.domains.perturbation.dims import PerturbationDims
from runwright.domains.perturbation.effect_measures import HIGHER_IS_BETTER, EffectMeasures
from runwright.domains.perturbation.set_losses import SetLoss, mean_change


def check_fit(prediction: object, batch: CellSets, dims: PerturbationDims) -> None:
    """Make sure that a model returns what the objective takes; for the first batch of a pass.

    Raises:
        UserError: it does not; says what is missing or of the wrong shape.
    """
    if not isinstance(prediction, Prediction):
        raise UserError(
            f"The model returned {type(prediction).__name__}, not a Prediction "
            "(runwright.domains.perturbation.batch)."
        )
    wanted = {"cells": tuple(batch.cells.shape)}
    if dims.decoded_genes is not None:
        wanted["genes"] = (*batch.cells.shape[:2], dims.decoded_genes)
    for name, shape in wanted.items():
        found: Tensor | None = getattr(prediction, name)
        if found is None or tuple(found.shape) != shape:
            what = "no" if found is None else f"shape {tuple(found.shape)} for"
            raise UserError(f"The model returned {what} '{name}'; the data have {shape}.")


class SetPrediction(OutputObjective[CellSets, Prediction]):
    """The mean loss over the sets of a batch, and what is added to it.

    The losses are, besides `loss`: `cells`, how far the predicted cells are from the real ones, and
    where they exist `genes`, the same for decoded genes; `confidence`, the squared error of the
    loss that the model expects of a set; `change`, how far the predicted cells are from the control
    cells. `loss` is their weighted sum. Sets without a single cell are left out.
    """

    monitor = "loss"
    higher_is_better: Mapping[str, bool] = {
        "loss": False,
        "cells": False,
        "genes": False,
        "confidence": False,
        "change": False,
        **HIGHER_IS_BETTER,
    }

    def __init__(
        self,
        dims: PerturbationDims,
        loss: SetLoss,
        device: torch.device,
        *,
        regularization: float = 0.0,
        decoder_loss_weight: float = 1.0,
        confidence_weight: float = 0.01,
        by_cell_eval: bool = False,
    ) -> None:
        """Build for these Dims, with the sums of the measures on `device`."""
        self.dims = dims
        self._device = device
        self._by_cell_eval = by_cell_eval
        self._loss = loss
        self._weights = {
            "genes": decoder_loss_weight,
            "confidence": confidence_weight,
            "change": regularization,
        }
        self._has_checked = False

    @override
    def outputs(self, model: nn.Module, batch: CellSets) -> Prediction:
        if isinstance(model, FittedModel):  # it goes by what the cells are
            prediction = model(batch)
        else:
            prediction = model(batch.basal, batch.perturbation, batch.batch, batch.mask)
        if not self._has_checked:
            check_fit(prediction, batch, self.dims)
            self._has_checked = True
        return prediction

    @override
    def measures(self) -> Sequence[Measure[CellSets, Prediction]]:
        measures = EffectMeasures(self.dims, self._device, by_cell_eval=self._by_cell_eval)
        return [*super().measures(), measures, CellSample(self.dims)]

    @override
    @contextmanager
    def predictions(
        self, folder: Path, split: str, *, table_format: TableFormat = "csv"
    ) -> Generator[Callable[[nn.Module, CellSets], None]]:
        """Predicted and real cells as `adata_pred_SPLIT.h5ad` and `adata_real_SPLIT.h5ad`."""
        del table_format  # cells are no table
        require_extra("anndata", "perturbation", "stage=predict")
        from runwright.domains.perturbation.prediction_files import cell_files

        with cell_files(folder, split, self.dims) as files:
            yield lambda model, batch: files.write(self.outputs(model, batch), batch)

    @override
    def losses_of(self, outputs: Prediction, batch: CellSets) -> dict[str, Tensor]:
        of_sets = {"cells": self._loss(outputs.cells, batch.cells, batch.mask)}
        if outputs.genes is not None:
            assert batch.genes is not None, "the Dims say that genes are decoded"
            of_sets["genes"] = self._loss(outputs.genes, batch.genes, batch.mask)
        if outputs.confidence is not None:
            expected = outputs.confidence.to(of_sets["cells"].dtype)
            of_sets["confidence"] = (expected - of_sets["cells"].detach()).square()
        if self._weights["change"]:
            of_sets["change"] = mean_change(outputs.cells, batch.basal, batch.mask)
        losses = {name: _mean(values, batch.mask) for name, values in of_sets.items()}
        if len(losses) == 1:
            return {"loss": losses["cells"]}
        added = (self._weights[name] * loss for name, loss in losses.items() if name != "cells")
        return {"loss": sum(added, start=losses["cells"]), **losses}


def _mean(of_sets: Tensor, mask: Tensor | None) -> Tensor:
    """The mean over sets, (B,), that have a cell; 0 if none does."""
    if mask is None:
        return of_sets.mean()
    has_cells = mask.any(dim=1)
    total = torch.where(has_cells, of_sets, 0).sum()
    return total / has_cells.sum().clamp(min=1)
