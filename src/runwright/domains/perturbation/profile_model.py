"""A model of mean profiles: it shifts control cells by an effect that follows from them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
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
    mean of the controls. An effect of zero is predicted before anything has been observed. Cell
    types and perturbations that it was not shown, or that are new, are pairs without a profile.
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
        self._met: tuple[int, Tensor] | None = None  # cell types, and the vectors (P', F)
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
        self._effects = self._met = None
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
        met = self._take_in(batch)
        if self._effects is None:
            self._effects = self._fitted(*met).to(batch.basal)
        effect = self._effects[batch.cell_type, batch.perturbation_index]
        return Prediction(batch.basal + effect[:, None])

    @override
    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        self._effects = self._met = None
        return super().load_state_dict(state_dict, *args, **kwargs)

    def _take_in(self, batch: CellSets) -> tuple[int, Tensor]:
        """How many cell types there are with those of a batch, and the vectors of perturbations.

        Those that are not trained on are known from the batches that they are predicted in.
        """
        cell_types, vectors = self._met or (len(self.total), self.vectors)
        of, wanted = batch.perturbation_index, batch.perturbation.to(vectors)
        most_types, most = int(batch.cell_type.max()) + 1, int(of.max()) + 1
        is_larger = most_types > cell_types or most > len(vectors)
        if is_larger or not torch.equal(vectors[of], wanted):
            self._effects, cell_types = None, max(cell_types, most_types)
            # `pad` returns a copy.
            vectors = functional.pad(vectors, (0, 0, 0, max(0, most - len(vectors))))
            vectors[of] = wanted
        self._met = cell_types, vectors
        return self._met

    def _fitted(self, cell_types: int, of_perturbations: Tensor) -> Tensor:
        """(C, P, G), the effect of every perturbation in every cell type; none of the control."""
        new_types, new = cell_types - len(self.total), len(of_perturbations) - len(self.vectors)
        total, count, control_total, control_count, vectors = (
            tensor.cpu().numpy()
            for tensor in (
                functional.pad(self.total, (0, 0, 0, new, 0, new_types)),
                functional.pad(self.count, (0, new, 0, new_types)),
                functional.pad(self.control_total, (0, 0, 0, new_types)),
                functional.pad(self.control_count, (0, new_types)),
                of_perturbations,
            )
        )
        if not count.any():
            return torch.zeros(total.shape, dtype=torch.float64)
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
