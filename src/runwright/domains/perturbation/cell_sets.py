"""Splits of sets of cells, gathered from the files ahead of the training."""

from collections import OrderedDict
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from runwright import SparseRows, Streamed
from runwright.domains.perturbation.batch import CellSets
from runwright.domains.perturbation.cell_values import refuse_repeated, refuse_values, tell_counts
from runwright.domains.perturbation.cells import Cells
from runwright.domains.perturbation.gathered_sets import GatheredSets, RowSets
from runwright.domains.perturbation.groups import Groups
from runwright.domains.perturbation.rows import Rows

# Of groups with how many cells the order is kept (128 MiB): sets of a large group come again and
# again.
_ORDERED_CELLS: Final = 2**24


class CellSetSplit(Streamed[Any]):  # what is gathered is of another class than the batches
    """Sets of S cells of one group each, every perturbed cell with a control.

    In the training, every epoch shuffles the cells of each group, cuts them into sets, and fills
    the last one with cells drawn from the group again. Otherwise the order stays, and the last set
    of a group is padded and masked.

    Attributes:
        orders: (group, epoch) → the order of its cells; of what was asked for last.
        num_ordered: the number of cells in `orders`.
    """

    def __init__(
        self,
        cells: Cells,
        groups: Groups,
        *,
        set_size: int,
        batch_size: int,
        seed: int,
        is_training: bool,
        num_controls: int = 1,
        maps_controls: bool = True,
        device: torch.device,
        num_workers: int = 0,
    ) -> None:
        """Cut groups into sets, and these into batches; see `Streamed`.

        Args:
            cells: the cells.
            groups: those of this split.
            set_size: S, cells of a set.
            batch_size: sets of a batch.
            seed: what the sets, their order and the controls depend on.
            is_training: whether sets are drawn anew in every epoch.
            num_controls: the number of controls whose mean is the basal cell of a perturbed one.
            maps_controls: whether the basal cells of controls are other controls, or themselves.
            device: where the batches must be.
            num_workers: processes that gather; 0 uses a thread.

        Raises:
            UserError: the sets do not fill one batch.
        """
        counts: list[int] = (-(-groups.sizes // set_size)).tolist()
        self.group_of_set = np.repeat(np.arange(len(counts)), counts)
        first = np.repeat(np.cumsum([0, *counts])[:-1], counts)
        self.number_in_group = np.arange(len(first)) - first
        super().__init__(
            len(self.group_of_set),
            batch_size=batch_size,
            shuffle_seed=seed if is_training else None,
            device=device,
            num_workers=num_workers,
        )
        self.source = cells
        self.groups = groups
        self.set_size = set_size
        self.seed = seed
        self.is_training = is_training
        self.num_controls = num_controls
        self.maps_controls = maps_controls
        # Without sets of control cells, effects on genes are measured against these.
        self._reads_basal_genes = (
            cells.genes is not None
            and not is_training
            and not (groups.perturbation == cells.control).any()
        )
        self.orders: OrderedDict[tuple[int, int], NDArray[np.int64]] = OrderedDict()
        self.num_ordered = 0
        self._has_told_counts = False

    @override
    def gather(self, positions: torch.Tensor, epoch: int) -> GatheredSets:
        """Read the cells of some sets and their controls."""
        size = self.set_size
        cells = np.empty((len(positions), size), dtype=np.int64)
        basal = np.empty((len(positions), size, self.num_controls), dtype=np.int64)
        mask = np.ones((len(positions), size), dtype=bool)
        groups = self.group_of_set[positions.numpy()]
        wanted: list[int] = positions.numpy().tolist()
        for place, position in enumerate(wanted):
            drawn_in = 2 + epoch if self.is_training else 0
            rng = np.random.default_rng([self.seed, drawn_in, position])
            cells[place], mask[place] = self._cells_of(position, epoch, rng)
            basal[place] = self._controls_of(int(groups[place]), cells[place], rng)
        table, source = self.source.table, self.source
        flat = cells.reshape(-1)
        genes = None if source.genes is None else self._read(source.genes, flat)
        return GatheredSets(
            basal=self._read_controls(source.rows, basal),
            cells=RowSets(rows=self._read(source.rows, flat), size=size),
            genes=None if genes is None else RowSets(rows=genes, size=size),
            basal_genes=self._read_controls(source.genes, basal)
            if self._reads_basal_genes and source.genes is not None
            else None,
            perturbation_index=torch.from_numpy(self.groups.perturbation[groups]),
            cell_type=torch.from_numpy(self.groups.cell_type[groups]),
            batch=torch.from_numpy(table.batch[cells].astype(np.int64)),
            cell=torch.from_numpy(cells),
            mask=None if self.is_training else torch.from_numpy(mask),
        )

    @override
    def on_device(self, batch: GatheredSets) -> CellSets:
        """Make the rows dense, and look up the vectors of the perturbations."""
        return CellSets(
            basal=batch.basal.dense(),
            cells=batch.cells.dense(),
            genes=None if batch.genes is None else batch.genes.dense(),
            basal_genes=None if batch.basal_genes is None else batch.basal_genes.dense(),
            perturbation=self.source.vectors[batch.perturbation_index],
            perturbation_index=batch.perturbation_index,
            cell_type=batch.cell_type,
            batch=batch.batch,
            cell=batch.cell,
            mask=batch.mask,
        )

    @override
    def each_once(self) -> Self:
        """The same sets as where they are measured: none is filled with cells drawn again."""
        one = super().each_once()
        one.is_training, one.orders, one.num_ordered = False, OrderedDict(), 0
        return one

    @override
    def look_at(
        self,
        batch: GatheredSets,
        positions: torch.Tensor,
        epoch: int,
        gather: Any,
    ) -> None:
        """Check the first batch of a pass; in the training its values too, as of no other one.

        There a value that is not finite ends the training, and checking all would take too long.
        Where cells are measured or predicted, it would be one perturbation less in a mean: all are
        checked when they are read.

        Raises:
            UserError: a value is not finite, or there twice, or an expression is negative.
        """
        super().look_at(batch, positions, epoch, gather)
        if not self.is_training:
            return
        cells = batch.cell.numpy().reshape(-1)
        self._refuse_wrong(self.source.rows, batch.cells.rows, cells)
        refuse_repeated("X", batch.cells.rows, cells, self.source.table)
        if batch.genes is not None and self.source.genes is not None:
            self._refuse_wrong(self.source.genes, batch.genes.rows, cells)
        of_genes = batch.cells if self.source.embedding is None else batch.genes
        if of_genes is not None and not self._has_told_counts:
            self._has_told_counts = tell_counts(of_genes.rows, cells, self.source.table)

    def _read(
        self, files: tuple[Rows, ...], cells: NDArray[np.int64]
    ) -> "torch.Tensor | SparseRows":
        """Rows of cells (N,), checked where they are measured or predicted."""
        rows = self.source.read(files, cells)
        if not self.is_training:
            self._refuse_wrong(files, rows, cells)
        return rows

    def _refuse_wrong(
        self, files: tuple[Rows, ...], rows: "torch.Tensor | SparseRows", cells: NDArray[np.int64]
    ) -> None:
        embedding = self.source.embedding if files is self.source.rows else None
        is_expression = embedding is None
        refuse_values(embedding or "X", rows, cells, self.source.table, is_expression=is_expression)

    def _cells_of(
        self, position: int, epoch: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The cells of a set, and which of them are not padding."""
        group, number = int(self.group_of_set[position]), int(self.number_in_group[position])
        members = self._order(group, epoch)
        cells = members[number * self.set_size : (number + 1) * self.set_size]
        lacking = self.set_size - len(cells)
        mask = np.ones(self.set_size, dtype=bool)
        if lacking:
            mask[len(cells) :] = self.is_training
            # The padding is cells as well, so that it has values that cells have.
            more = rng.choice(members, lacking) if self.is_training else cells[[0]].repeat(lacking)
            cells = np.concatenate([cells, more])
        if self.is_training:
            cells = np.sort(cells)  # the order within a set means nothing; files are read forwards
        return cells, mask

    def _order(self, group: int, epoch: int) -> NDArray[np.int64]:
        """The cells of a group, in the order of this epoch."""
        members = self.groups.members(group)
        if not self.is_training:
            return members
        key = group, epoch
        if key in self.orders:
            self.orders.move_to_end(key)
            return self.orders[key]
        order = np.random.default_rng([self.seed, 1, epoch, group]).permutation(members)
        self.orders[key] = order
        self.num_ordered += len(order)
        while self.num_ordered > _ORDERED_CELLS and len(self.orders) > 1:
            _, oldest = self.orders.popitem(last=False)
            self.num_ordered -= len(oldest)
        return order

    def _controls_of(
        self, group: int, cells: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """(S, num_controls), the controls of the cells of a set."""
        if not self.maps_controls and self.groups.perturbation[group] == self.source.control:
            return cells[:, None].repeat(self.num_controls, axis=1)
        begin, end = self.groups.pool[group].tolist()
        chosen = rng.integers(begin, end, size=(len(cells), self.num_controls))
        return self.groups.controls[chosen]

    def _read_controls(self, files: tuple[Rows, ...], controls: NDArray[np.int64]) -> RowSets:
        """The means of controls (B, S, num_controls)."""
        rows = self._read(files, controls.reshape(-1))
        if self.num_controls > 1:
            rows = _means(rows, self.num_controls)
        return RowSets(rows=rows, size=self.set_size)


def _means(rows: "torch.Tensor | SparseRows", count: int) -> torch.Tensor:
    """The means of every `count` rows."""
    dense = rows.dense() if isinstance(rows, SparseRows) else rows
    return dense.view(-1, count, dense.shape[-1]).mean(1)
