"""How well effects of perturbations are predicted, by the definitions of the cell-eval package.

Every measure compares mean profiles: of the predicted cells, the real cells and the control cells
of a (cell type, perturbation). What they are, `effect_scores` says.
"""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from runwright import Measure, UserError, World, write_bytes
from runwright.domains.perturbation.batch import CellSets, Prediction
from runwright.domains.perturbation.dims import PerturbationDims
from runwright.domains.perturbation.effect_files import csv_of_cell_types, csv_of_pairs
from runwright.domains.perturbation.effect_scores import measures_of_means
from runwright.domains.perturbation.effect_table import HIGHER_IS_BETTER, EffectTable
from runwright.domains.perturbation.pictures import Effects, draw_effects

log = logging.getLogger(__name__)

_MOST_PENDING: Final = 2**24  # numbers that wait on the device until they are added up: 128 MiB


class MeanProfiles(NamedTuple):
    """The mean cells of N perturbations of a cell type.

    Attributes:
        cell_type: the number of the cell type.
        perturbation: (N,), int64, the numbers of the perturbations.
        predicted: (N, G), the means of the predicted cells.
        real: (N, G), the means of the real cells.
        control: (G,), the mean of the control cells; NaN if there are none.
    """

    cell_type: int
    perturbation: Tensor
    predicted: Tensor
    real: Tensor
    control: Tensor

    def predicted_as(self, predicted: Tensor) -> "MeanProfiles":
        """The same with another prediction, (perturbations, G)."""
        return MeanProfiles(
            cell_type=self.cell_type,
            perturbation=self.perturbation,
            predicted=predicted,
            real=self.real,
            control=self.control,
        )


def table_of_means(
    means: Sequence[MeanProfiles], dims: PerturbationDims, *, by_cell_eval: bool = False
) -> EffectTable:
    """The measures of mean profiles, for instance of a baseline in place of what was predicted.

    Args:
        means: the mean profiles of each cell type, on any device.
        dims: the names of genes and perturbations.
        by_cell_eval: whether the package cell-eval computes them.
    """
    measure = _measures_by_cell_eval if by_cell_eval else _measures
    cell_types, perturbations = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    columns = {name: [np.empty(0, np.float64)] for name in HIGHER_IS_BETTER}
    for one in means:
        numbers = one.perturbation.cpu().numpy()
        _tell_not_finite(one, dims)
        found = measure(one, dims)
        cell_types.append(np.full(len(numbers), one.cell_type))
        perturbations.append(numbers)
        for name, parts in columns.items():
            parts.append(found[name])
    return EffectTable(
        cell_type=np.concatenate(cell_types),
        perturbation=np.concatenate(perturbations),
        measures={name: np.concatenate(parts) for name, parts in columns.items()},
    )


def _tell_not_finite(one: MeanProfiles, dims: PerturbationDims) -> None:
    """Warn of predictions of which nothing can be measured: a mean over the others hides them."""
    is_lost = ~one.predicted.isfinite().all(dim=1)
    if count := int(is_lost.sum()):
        names = dict(enumerate(dims.cell_type_names))
        log.warning(
            "What is predicted of %d of %d perturbations of %s is not finite: they are in no mean.",
            count,
            len(is_lost),
            names.get(one.cell_type, f"cell type {one.cell_type}"),
        )


def _measures(one: MeanProfiles, dims: PerturbationDims) -> dict[str, NDArray[np.float64]]:
    numbers = cast("list[int]", one.perturbation.tolist())
    target = torch.tensor(_targets(dims, numbers, one.real.shape[1])).to(one.real.device)
    found = measures_of_means(one.predicted, one.real, one.control, target)
    return {name: values.double().cpu().numpy() for name, values in found.items()}


def _measures_by_cell_eval(
    one: MeanProfiles, dims: PerturbationDims
) -> dict[str, NDArray[np.float64]]:
    from runwright.domains.perturbation.cell_eval_table import Profiles, measures_by_cell_eval

    names, count = dict(enumerate(dims.perturbation_names)), one.real.shape[1]
    numbers = cast("list[int]", one.perturbation.tolist())
    has_names = len(dims.gene_names) == count
    predicted, real, control = (
        part.double().cpu().numpy() for part in (one.predicted, one.real, one.control)
    )
    return measures_by_cell_eval(
        Profiles(
            perturbations=[names.get(number, f"perturbation {number}") for number in numbers],
            genes=dims.gene_names if has_names else [f"feature {n}" for n in range(count)],
            predicted=predicted,
            real=real,
            control=control,
        )
    )


def _targets(dims: PerturbationDims, perturbations: Sequence[int], num_genes: int) -> list[int]:
    """The genes that have the names of these perturbations; −1 for those that none has."""
    genes = {name: number for number, name in enumerate(dims.gene_names)}
    # Features are not the genes, or no names are known.
    if len(dims.gene_names) != num_genes or not dims.perturbation_names:
        return [-1] * len(perturbations)
    return [genes.get(dims.perturbation_names[number], -1) for number in perturbations]


class EffectMeasures(Measure[CellSets, Prediction]):
    """The measures of a split, from sums over the cells of each (cell type, perturbation).

    Where the model decodes genes, these are measured, else what it predicts itself. The control of
    a cell type is the mean of the real cells of its control sets; without such sets, that of the
    control cells that were given to the model. Cells that only fill up a set do not count.
    """

    def __init__(
        self, dims: PerturbationDims, device: torch.device, *, by_cell_eval: bool = False
    ) -> None:
        """Nothing is measured yet; sums are on `device`.

        Args:
            dims: those of the data.
            device: where the cells are.
            by_cell_eval: whether the package cell-eval computes the measures.
        """
        self._dims = dims
        self._by_cell_eval = by_cell_eval
        self._table: EffectTable | None = None
        self._device = device
        # float64 where it exists: effects are small differences of means.
        self._real = torch.float32 if device.type == "mps" else torch.float64
        self._sums: list[dict[str, Tensor]] = []
        self._pending = 0

    @override
    def update(self, outputs: Prediction, batch: CellSets) -> None:
        self._table = None
        predicted, real, basal = outputs.cells, batch.cells, batch.basal
        if outputs.genes is not None and batch.genes is not None:
            predicted, real, basal = outputs.genes, batch.genes, batch.basal_genes
        if predicted.shape != real.shape:
            raise UserError(
                f"The model predicted cells of shape {tuple(predicted.shape)}; the real ones have "
                f"{tuple(real.shape)}."
            )
        sums = {"predicted": self._sum(predicted, batch), "real": self._sum(real, batch)}
        if basal is not None:
            sums["basal"] = self._sum(basal, batch)
        full = torch.full(real.shape[:1], real.shape[1], dtype=self._real, device=real.device)
        sums["count"] = full if batch.mask is None else batch.mask.sum(dim=1, dtype=self._real)
        sums["cell_type"], sums["perturbation"] = batch.cell_type, batch.perturbation_index
        self._sums.append({name: column.to(self._device) for name, column in sums.items()})
        self._pending += sum(column.numel() for column in sums.values())
        if self._pending > _MOST_PENDING:  # the only time that the device is waited for
            self._add_up()

    def _sum(self, cells: Tensor, batch: CellSets) -> Tensor:
        if batch.mask is not None:
            cells = cells.detach().masked_fill(~batch.mask[:, :, None], 0)
        return cells.detach().sum(dim=1, dtype=self._real)

    def _add_up(self) -> None:
        """Leave one row of sums for each (cell type, perturbation)."""
        self._pending = 0
        if not self._sums:
            return
        columns = {n: torch.cat([part[n] for part in self._sums]) for n in self._sums[0]}
        pairs = torch.stack([columns.pop("cell_type"), columns.pop("perturbation")], dim=1)
        unique, row = cast("tuple[Tensor, Tensor]", torch.unique(pairs, dim=0, return_inverse=True))
        added = {
            name: column.new_zeros(len(unique), *column.shape[1:]).index_add_(0, row, column)
            for name, column in columns.items()
        }
        self._sums = [{**added, "cell_type": unique[:, 0], "perturbation": unique[:, 1]}]

    @override
    def all_reduce(self, world: World) -> None:
        if world.size == 1:
            return
        self._table = None
        self._add_up()
        mine = [{name: column.cpu() for name, column in part.items()} for part in self._sums]
        self._sums = [
            {name: column.to(self._device) for name, column in part.items()}
            for share in world.all_gather(mine)
            for part in share
        ]

    def means(self) -> list[MeanProfiles]:
        """The mean profiles of every cell type with perturbed cells, so far."""
        self._add_up()
        return [
            found
            for sums in self._sums
            for number in cast("list[int]", sums["cell_type"].unique().tolist())
            if (found := self._means_of(sums, number)) is not None
        ]

    def _means_of(self, sums: dict[str, Tensor], cell_type: int) -> MeanProfiles | None:
        is_counted = (sums["cell_type"] == cell_type) & (sums["count"] > 0)
        rows = {name: column[is_counted] for name, column in sums.items()}
        is_control = rows["perturbation"] == self._dims.control
        perturbed = {name: column[~is_control] for name, column in rows.items()}
        if len(perturbed["count"]) == 0:
            return None
        count = perturbed["count"][:, None]
        real = perturbed["real"] / count
        control = torch.full_like(real[0], math.nan)
        if bool(is_control.any()):
            control = (rows["real"][is_control] / rows["count"][is_control, None])[0]
        elif "basal" in perturbed:
            control = perturbed["basal"].sum(dim=0) / count.sum()
        return MeanProfiles(
            cell_type=cell_type,
            perturbation=perturbed["perturbation"],
            predicted=perturbed["predicted"] / count,
            real=real,
            control=control,
        )

    def table(self) -> EffectTable:
        """The measures of every (cell type, perturbation) so far, without the control."""
        if self._table is None:
            self._table = table_of_means(self.means(), self._dims, by_cell_eval=self._by_cell_eval)
        return self._table

    @override
    def compute(self) -> dict[str, float]:
        return self.table().means()

    @override
    def write(self, folder: Path, split: str) -> None:
        """Write `effects_SPLIT.csv` and `effects_by_cell_type_SPLIT.csv`; see `effect_files`."""
        log.info("%s", self._said_by())
        table, dims = self.table(), self._dims
        write_bytes(folder / f"effects_{split}.csv", csv_of_pairs(table, dims).encode())
        of_types = csv_of_cell_types(table, dims)
        write_bytes(folder / f"effects_by_cell_type_{split}.csv", of_types.encode())

    def _said_by(self) -> str:
        if not self._by_cell_eval:
            return "The effects were measured by runwright, as cell-eval does."
        from runwright.domains.perturbation.cell_eval_table import version

        return f"The effects were measured by cell-eval {version()}."

    @property
    @override
    def bootstrap_unit(self) -> str | None:
        return "perturbations"

    @override
    def bootstrap(self, num_runs: int, seed: int) -> dict[str, NDArray[np.float64]]:
        return self.table().bootstrap(num_runs, seed)

    @override
    def draw(self, folder: Path, split: str) -> None:
        names = dict(enumerate(self._dims.cell_type_names))
        effects = [
            Effects(
                name=names.get(one.cell_type, f"cell type {one.cell_type}"),
                predicted=(one.predicted - one.control).cpu().numpy(),
                real=(one.real - one.control).cpu().numpy(),
            )
            for one in self.means()
        ]
        draw_effects(effects, f"effects, {split}", folder / f"effects_{split}.png")
