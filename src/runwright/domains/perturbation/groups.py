"""Groups of cells, from which sets are cut, and the controls that each is compared with."""

import logging
from collections.abc import Sequence
from typing import Final, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from runwright import UserError
from runwright.domains.perturbation.cell_table import CellTable
from runwright.domains.perturbation.data_plan import DataPlan, SplitName

log = logging.getLogger(__name__)

Mapping = Literal["random", "batch"]
Ints = NDArray[np.int64]

SPLITS: Final[dict[SplitName | None, int]] = {"train": 0, "val": 1, "test": 2, None: -1}
"""The numbers of the splits."""

_ALL_BATCHES: Final = -1


@attrs.frozen(kw_only=True, eq=False)
class Groups:
    """Cells of the same file, cell type and perturbation, and perhaps of the same batch.

    Attributes:
        cells: (N,), the numbers of all cells, group after group.
        starts: (groups + 1,), where the cells of each group begin.
        keys: (groups, 4), what they have in common: file, cell type, perturbation, batch; the batch
            is −1 where batches are mixed.
        split: (groups,), its number in `SPLITS`.
        is_zeroshot: (groups,), whether all perturbations of its cell type are held out.
        controls: (M,), the numbers of all control cells, ordered by file, cell type and batch.
        pool: (groups, 2), where the controls of each group begin and end in `controls`.
    """

    cells: Ints
    starts: Ints
    keys: Ints
    split: Ints
    is_zeroshot: NDArray[np.bool_]
    controls: Ints
    pool: Ints

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def sizes(self) -> Ints:
        """(groups,), the number of cells of each group."""
        return np.diff(self.starts)

    @property
    def cell_type(self) -> Ints:
        """(groups,), the number of the cell type."""
        return self.keys[:, 1]

    @property
    def perturbation(self) -> Ints:
        """(groups,), the number of the perturbation."""
        return self.keys[:, 2]

    def members(self, group: int) -> Ints:
        """The cells of a group."""
        return self.cells[self.starts[group] : self.starts[group + 1]]

    def chosen(self, which: NDArray[np.bool_]) -> "Groups":
        """Some of the groups."""
        groups = np.flatnonzero(which)
        return attrs.evolve(
            self,
            **_one_after_another([self.members(group) for group in groups.tolist()]),
            keys=self.keys[groups],
            split=self.split[groups],
            is_zeroshot=self.is_zeroshot[groups],
            pool=self.pool[groups],
        )

    def with_controls(self, which: NDArray[np.bool_], control: int) -> NDArray[np.bool_]:
        """Some groups, and those of the control cells of the same files and cell types."""
        places = self.keys[:, :2] @ np.array([self.keys[:, 1].max(initial=0) + 1, 1])
        is_beside = np.isin(places, places[which])
        return which | ((self.perturbation == control) & is_beside)

    def at_most(self, count: int, seed: int) -> "Groups":
        """The same groups with at most `count` cells each, drawn at random."""
        return self._drawn(np.minimum(self.sizes, count), seed)

    def sampled(self, fraction: float, seed: int) -> "Groups":
        """The same groups with a fraction of the cells of each, at least one, drawn at random."""
        return self._drawn(np.maximum(1, np.rint(self.sizes * fraction).astype(np.int64)), seed)

    def _drawn(self, sizes: Ints, seed: int) -> "Groups":
        kept: list[Ints] = []
        for group, size in enumerate(sizes.tolist()):
            cells = self.members(group)
            if size < len(cells):
                rng = np.random.default_rng([seed, group])
                cells = np.sort(rng.choice(cells, size, replace=False))
            kept.append(cells)
        return attrs.evolve(self, **_one_after_another(kept))


def _one_after_another(groups: Sequence[Ints]) -> dict[str, Ints]:
    none = np.empty(0, dtype=np.int64)
    starts = np.cumsum([0, *map(len, groups)], dtype=np.int64)
    return {"cells": np.concatenate([none, *groups]), "starts": starts}


def group_cells(
    table: CellTable, plan: DataPlan, *, control: str, mapping: Mapping, zeroshot_controls: bool
) -> Groups:
    """Divide all cells into groups, and find the controls of each.

    Args:
        table: the cells.
        plan: what is held out.
        control: the perturbation of the control cells.
        mapping: whether controls are of the same file and cell type, or of the same batch too.
        zeroshot_controls: whether the controls of cell types that are held out are trained on.

    Raises:
        UserError: there are no controls for some of the cells.
    """
    file = np.repeat(np.arange(len(table.files)), np.diff(table.starts))
    batch = table.batch if mapping == "batch" else np.full_like(table.batch, _ALL_BATCHES)
    columns = np.stack([file, table.cell_type, table.perturbation, batch], dtype=np.int64)
    order = np.lexsort(columns[::-1])
    columns = columns[:, order]
    is_first = np.append(True, (np.diff(columns) != 0).any(axis=0))
    keys = columns[:, is_first].T
    controls, pools = _pools(table, file, table.perturbations.index(control))
    split, is_zeroshot = _splits(table, plan, keys, control, zeroshot_controls=zeroshot_controls)
    return Groups(
        cells=order.astype(np.int64),
        starts=np.append(np.flatnonzero(is_first), len(order)).astype(np.int64),
        keys=keys,
        split=split,
        is_zeroshot=is_zeroshot,
        controls=controls,
        pool=_pool_of_each(table, keys, pools, control),
    )


_Pools = dict[tuple[int, int, int], tuple[int, int]]


def _pools(table: CellTable, file: Ints, control: int) -> tuple[Ints, _Pools]:
    """The control cells in order, and where those of (file, cell type, batch) are among them."""
    controls = np.flatnonzero(table.perturbation == control)
    columns = np.stack([file[controls], table.cell_type[controls], table.batch[controls]])
    order = np.lexsort(columns[::-1])
    pools: _Pools = {}
    keys: list[list[int]] = columns[:, order].T.tolist()
    for place, (of_file, cell_type, batch) in enumerate(keys):
        for key in ((of_file, cell_type, batch), (of_file, cell_type, _ALL_BATCHES)):
            begin, _ = pools.get(key, (place, place))
            pools[key] = begin, place + 1
    return controls[order].astype(np.int64), pools


def _pool_of_each(table: CellTable, keys: Ints, pools: _Pools, control: str) -> Ints:
    """(groups, 2), the controls of each group."""
    found: list[tuple[int, int]] = []
    without: dict[str, None] = {}
    num_mixed = 0
    rows: list[list[int]] = keys.tolist()
    for file, cell_type, _, batch in rows:
        pool = pools.get((file, cell_type, batch))
        if pool is None:
            pool = pools.get((file, cell_type, _ALL_BATCHES))
            num_mixed += 1
        if pool is None:
            without[f"'{table.cell_types[cell_type]}' in {table.files[file]}"] = None
        else:
            found.append(pool)
    if without:
        raise UserError(_no_controls(list(without), control))
    if num_mixed:
        log.info(
            "%d of %d groups of cells have no controls of their batch; theirs are of all batches "
            "of their cell type.",
            num_mixed,
            len(keys),
        )
    return np.array(found, dtype=np.int64)


def _splits(
    table: CellTable, plan: DataPlan, keys: Ints, control: str, *, zeroshot_controls: bool
) -> tuple[Ints, NDArray[np.bool_]]:
    """(groups,), the number of the split, and whether all perturbations of the cell type are."""
    split: list[int] = []
    is_zeroshot: list[bool] = []
    rows: list[list[int]] = keys.tolist()
    for file, cell_type, number, _ in rows:
        pair = table.data_sets[file], table.cell_types[cell_type]
        perturbation = table.perturbations[number]
        is_held_out = plan.zeroshot.get(pair, "train") != "train"
        name = plan.split_of(*pair, perturbation)
        if perturbation == control and name != "train":
            # Controls are no perturbation to be measured; they are what cells are compared with.
            name = "train" if is_held_out and zeroshot_controls else None
        split.append(SPLITS[name])
        is_zeroshot.append(is_held_out)
    return np.array(split, dtype=np.int64), np.array(is_zeroshot, dtype=bool)


def _no_controls(places: Sequence[str], control: str) -> str:
    some = "; ".join(places[:5]) + ("; …" if len(places) > 5 else "")
    return (
        f"There are no control cells (dm.control_pert={control}) for {some}. Every cell type needs "
        "controls in the same file."
    )
