"""Groups of cells, from which sets are cut, and the controls that each is compared with."""

import itertools
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
        """The same groups with at most `count` cells of a cell type and perturbation.

        They are drawn at random from all of its groups: it may be in several files or batches.
        """
        pairs, of = np.unique(self.keys[:, 1:3], axis=0, return_inverse=True)
        together = np.split(np.argsort(of, kind="stable"), np.cumsum(np.bincount(of))[:-1])
        sizes = np.minimum(self.sizes, count)
        for pair, groups in enumerate(together):
            if len(groups) > 1 and self.sizes[groups].sum() > count:
                rng = np.random.default_rng([seed, *pairs[pair].tolist()])
                sizes[groups] = rng.multivariate_hypergeometric(self.sizes[groups], count)
        return self._drawn(sizes, seed)

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
    cells = np.empty(len(table), dtype=np.int64)
    starts: list[Ints] = []
    keys: list[Ints] = []
    for file, part in enumerate(_parts(table)):  # sorting all cells at once takes more memory
        columns = [table.cell_type[part], table.perturbation[part]]
        if mapping == "batch":
            columns.append(table.batch[part])
        order, first, values = _runs(columns)
        np.add(order, part.start, out=cells[part])
        starts.append(first + part.start)
        known = np.full((len(first), 4), _ALL_BATCHES, dtype=np.int64)
        known[:, 0], known[:, 1 : 1 + values.shape[1]] = file, values
        keys.append(known)
    controls, pools = _pools(table, table.perturbations.index(control))
    all_keys = np.concatenate(keys)
    split, is_zeroshot = _splits(
        table, plan, all_keys, control, zeroshot_controls=zeroshot_controls
    )
    return Groups(
        cells=cells,
        starts=np.concatenate([*starts, [len(table)]]),
        keys=all_keys,
        split=split,
        is_zeroshot=is_zeroshot,
        controls=controls,
        pool=_pool_of_each(table, all_keys, pools, control),
    )


def tell_unused(groups: Groups, table: CellTable, plan: DataPlan, control: int) -> None:
    """Say how many perturbed cells are in no split, and of which data sets."""
    unused = (groups.split == SPLITS[None]) & (groups.perturbation != control)
    if unused.any():
        files: list[int] = groups.keys[unused, 0].tolist()
        log.warning(
            "%s: %d perturbed cells are not used, as they are not held out and [training] does not "
            "name their data set: %s.",
            plan.path,
            groups.sizes[unused].sum(),
            ", ".join(sorted({table.data_sets[file] for file in files})),
        )


def _parts(table: CellTable) -> list[slice]:
    """The cells of each file."""
    edges: list[int] = table.starts.tolist()
    return [slice(begin, end) for begin, end in itertools.pairwise(edges)]


def _runs(columns: Sequence[NDArray[np.int32]]) -> tuple[Ints, Ints, Ints]:
    """Rows in the order of some columns, of which the first counts most.

    Returns:
        (N,), the rows in order; (K,), where those with equal values begin; (K, columns), these.
    """
    code = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        code *= int(column.max(initial=0)) + 1
        code += column
    order = np.argsort(code, kind="stable")
    code = code[order]
    first = np.flatnonzero(np.append(True, code[1:] != code[:-1])[: len(code)])
    values = np.stack([column[order[first]] for column in columns], axis=1)
    return order, first, values.astype(np.int64)


_Pools = dict[tuple[int, int, int], tuple[int, int]]


def _pools(table: CellTable, control: int) -> tuple[Ints, _Pools]:
    """The control cells in order, and where those of (file, cell type, batch) are among them."""
    controls: list[Ints] = []
    pools: _Pools = {}
    before = 0
    for file, part in enumerate(_parts(table)):
        cells = np.flatnonzero(table.perturbation[part] == control) + part.start
        order, first, values = _runs([table.cell_type[cells], table.batch[cells]])
        edges: list[int] = [*(first + before).tolist(), before + len(cells)]
        known: list[list[int]] = values.tolist()
        for (begin, end), (cell_type, batch) in zip(itertools.pairwise(edges), known, strict=True):
            pools[file, cell_type, batch] = begin, end
            whole_begin, _ = pools.get((file, cell_type, _ALL_BATCHES), (begin, end))
            pools[file, cell_type, _ALL_BATCHES] = whole_begin, end
        controls.append(cells[order])
        before += len(cells)
    return np.concatenate(controls).astype(np.int64), pools


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
            without[f"'{table.cell_type_in_files(cell_type)}' in {table.files[file]}"] = None
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
        pair = table.data_sets[file], table.cell_type_in_files(cell_type)
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
