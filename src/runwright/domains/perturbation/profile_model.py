"""A model of mean profiles: it shifts control cells by an effect that follows from them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from runwright import FittedModel
from runwright.domains.perturbation.baselines import Floats
from runwright.domains.perturbation.batch import CellSets, Prediction
from runwright.domains.perturbation.dims import PerturbationDims


class ProfileModel(nn.Module, FittedModel):
    """Adds up the cells of every (cell type, perturbation), and predicts from their means.

    The controls of a cell type are those that it was shown as sets of their own; without such sets,
    those that perturbed cells were compared with, which are drawn at random.

    What it predicts of a cell is its control plus the effect: the predicted mean profile minus the
    mean of the controls. An effect of zero is predicted before anything has been observed.
    """

    total: Tensor  # (C, P, G), float64, the sum of the cells
    count: Tensor  # (C, P), float64, how many there were
    control_total: Tensor  # (C, G), the sum of the controls that cells were compared with
    control_count: Tensor  # (C,)
    vectors: Tensor  # (P, F), the vectors of the perturbations

    def __init__(
        self, dims: PerturbationDims, predict: Callable[[Floats, Floats, Floats], Floats]
    ) -> None:
        """Build a model that has observed nothing.

        Args:
            dims: those of the data.
            predict: gives the mean profiles (C, P, G) of all pairs, from those of the training,
                those of the controls, (C, G), and the vectors of the perturbations, (P, F).
        """
        super().__init__()
        cell_types, perturbations = len(dims.cell_type_names), len(dims.perturbation_names)
        self._control = dims.control
        self._predict = predict
        self._effects: Tensor | None = None
        sizes = {
            "total": (cell_types, perturbations, dims.features),
            "count": (cell_types, perturbations),
            "control_total": (cell_types, dims.features),
            "control_count": (cell_types,),
            "vectors": (perturbations, dims.perturbation_features),
        }
        for name, size in sizes.items():
            self.register_buffer(name, torch.zeros(size, dtype=torch.float64))

    @override
    def observe(self, batch: CellSets) -> None:
        self._effects = None
        of = batch.cell_type, batch.perturbation_index
        weights = torch.ones_like(batch.cell, dtype=batch.cells.dtype)
        if batch.mask is not None:
            weights = weights * batch.mask
        sizes = weights.sum(1, dtype=torch.float64)
        self.total.index_put_(of, _sum(batch.cells, weights), accumulate=True)
        self.count.index_put_(of, sizes, accumulate=True)
        self.control_total.index_add_(0, batch.cell_type, _sum(batch.basal, weights))
        self.control_count.index_add_(0, batch.cell_type, sizes)
        self.vectors[batch.perturbation_index] = batch.perturbation.double()

    @override
    def forward(self, batch: CellSets) -> Prediction:
        """The control cells of each set, shifted by the effect of its perturbation."""
        if self._effects is None:
            self._effects = self._fitted().to(batch.basal)
        effect = self._effects[batch.cell_type, batch.perturbation_index]
        return Prediction(batch.basal + effect[:, None])

    @override
    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        self._effects = None
        return super().load_state_dict(state_dict, *args, **kwargs)

    def _fitted(self) -> Tensor:
        """(C, P, G), the effect of every perturbation in every cell type; none of the control."""
        total, count, control_total, control_count, vectors = (
            tensor.cpu().numpy()
            for tensor in (
                self.total,
                self.count,
                self.control_total,
                self.control_count,
                self.vectors,
            )
        )
        if not count.any():
            return torch.zeros(self.total.shape, dtype=torch.float64)
        with np.errstate(invalid="ignore"):
            training = total / count[:, :, None]  # NaN where nothing was trained on
        # With a control of zero, what is predicted for a new cell type is the effect itself.
        compared = control_total / np.maximum(control_count, 1)[:, None]
        shown = training[:, self._control]
        control = np.where(np.isnan(shown), compared, shown)
        training[:, self._control] = np.nan
        effects = self._predict(training, control, vectors) - control[:, None]
        effects[:, self._control] = 0
        return torch.from_numpy(effects)


def _sum(cells: Tensor, weights: Tensor) -> Tensor:
    """(B, G), float64, the sum of the cells of each set, (B, S, G)."""
    return (cells * weights[..., None]).sum(1, dtype=torch.float64)
