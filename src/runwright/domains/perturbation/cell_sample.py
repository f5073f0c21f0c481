"""Some cells of a split, to be drawn: as they are predicted, as they are, and their controls."""

from pathlib import Path
from typing import Final, cast

import torch
from torch import Tensor
from typing_extensions import override

from runwright import Measure, World
from runwright.domains.perturbation.batch import CellSets, Prediction
from runwright.domains.perturbation.dims import PerturbationDims
from runwright.domains.perturbation.pictures import SampledCells, draw_embedding

_OF_EACH_SET: Final = 8
_MOST_CELLS: Final = 8192
_MOST_NUMBERS: Final = 2**24  # of a kind: 64 MiB


class CellSample(Measure[CellSets, Prediction]):
    """The first cells of each perturbed set; of every second batch only, when they become many.

    Which they are follows from the order of the batches, so the picture is the same every time.
    What a model predicts is drawn, not the genes that are decoded from it.
    """

    def __init__(self, dims: PerturbationDims) -> None:
        """Nothing is sampled yet."""
        self._dims = dims
        self._parts: list[dict[str, Tensor]] = []
        self._most = max(_OF_EACH_SET, min(_MOST_CELLS, _MOST_NUMBERS // dims.features))
        self._every = 1
        self._batches = 0
        self._kept = 0

    @override
    def update(self, outputs: Prediction, batch: CellSets) -> None:
        self._batches += 1
        if (self._batches - 1) % self._every:
            return
        sets, size = batch.cells.shape[0], min(_OF_EACH_SET, batch.cells.shape[1])
        is_perturbed = batch.perturbation_index != self._dims.control
        is_cell = is_perturbed[:, None].expand(sets, size)
        if batch.mask is not None:
            is_cell = is_cell & batch.mask[:, :size]
        part = {
            "cell_type": batch.cell_type[:, None].expand(sets, size),
            "is_cell": is_cell,
            "predicted": outputs.cells[:, :size],
            "real": batch.cells[:, :size],
            "control": batch.basal[:, :size],
        }
        # Copies, which do not keep the whole batch in memory.
        self._parts.append({name: one.detach().flatten(0, 1).clone() for name, one in part.items()})
        self._kept += sets * size
        while self._kept > self._most and len(self._parts) > 1:
            self._parts = self._parts[::2]
            self._every *= 2
            self._kept = sum(len(one["is_cell"]) for one in self._parts)

    @override
    def compute(self) -> dict[str, float]:
        return {}

    @override
    def all_reduce(self, world: World) -> None:
        """Nothing is measured; of what is drawn, see `gather_drawn`."""

    @override
    def gather_drawn(self, world: World) -> None:
        if world.size > 1:
            mine = [{name: one.cpu() for name, one in part.items()} for part in self._parts]
            self._parts = [part for share in world.all_gather(mine) for part in share]

    def cells(self) -> list[SampledCells]:
        """The cells of each cell type."""
        if not self._parts:
            return []
        columns = {name: torch.cat([part[name] for part in self._parts]) for name in self._parts[0]}
        is_cell = columns.pop("is_cell")
        columns = {name: column[is_cell].cpu() for name, column in columns.items()}
        cell_type = columns.pop("cell_type")
        names = dict(enumerate(self._dims.cell_type_names))
        numbers = cast("list[int]", cell_type.unique().tolist())
        return [
            SampledCells(
                name=names.get(number, f"cell type {number}"),
                **{k: one[cell_type == number].float().numpy() for k, one in columns.items()},
            )
            for number in numbers
        ]

    @override
    def draw(self, folder: Path, split: str) -> None:
        """Draw `cells_SPLIT.png`."""
        if sampled := self.cells():
            draw_embedding(sampled, f"cells, {split}", folder / f"cells_{split}.png")
