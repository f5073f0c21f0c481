"""All cells of all files: what they are, and where they are."""

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from runwright import UserError, did_you_mean
from runwright.domains.perturbation import h5ad
from runwright.domains.perturbation.data_plan import DataPlan
from runwright.domains.perturbation.h5ad import Column

log = logging.getLogger(__name__)

ONE_BATCH: Final = "all"
"""The name of the only batch, where no column tells the cells' batches."""

_BATCH_OPTION: Final = "dm.batch_col, null if there are no batches"


@attrs.frozen(kw_only=True)
class Columns:
    """The columns of `obs` that say what a cell is.

    Attributes:
        cell_type, perturbation: their names.
        batch: that of the experimental batches; None if there is none.
        control: the perturbation of the control cells.
    """

    cell_type: str
    perturbation: str
    batch: str | None
    control: str


@attrs.frozen(kw_only=True, eq=False)
class CellTable:
    """All cells, numbered through all files.

    Attributes:
        files: the files.
        data_sets: the data set of each file.
        starts: (files + 1,), int64, the number of the first cell of each file.
        cell_type, perturbation, batch: (N,), int32, numbers into the names.
        cell_types, perturbations, batches: the names. A cell type that several data sets have is a
            cell type of each: `data set.cell type`, as in the TOML file.
        in_files: what these are called in the files, by name.
    """

    files: tuple[Path, ...]
    data_sets: tuple[str, ...]
    starts: NDArray[np.int64]
    cell_type: NDArray[np.int32]
    perturbation: NDArray[np.int32]
    batch: NDArray[np.int32]
    cell_types: tuple[str, ...]
    perturbations: tuple[str, ...]
    batches: tuple[str, ...]
    in_files: Mapping[str, str]

    def __len__(self) -> int:
        return int(self.starts[-1])

    def cell_type_in_files(self, number: int) -> str:
        """What a cell type is called in the files."""
        name = self.cell_types[number]
        return self.in_files.get(name, name)

    def file_of(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """The file that each cell is in."""
        return np.searchsorted(self.starts, cells, side="right") - 1


def read_cells(plan: DataPlan, columns: Columns) -> CellTable:
    """Read what every cell is.

    Raises:
        UserError: a column, the controls, or what the plan holds out is not in the files.
    """
    files = [(data_set, path) for data_set, paths in plan.files.items() for path in paths]
    _refuse_repeated(files)
    read: dict[str, list[Column]] = {"cell_type": [], "perturbation": [], "batch": []}
    for _, path in files:
        with h5ad.opened(path) as file:
            read["cell_type"].append(h5ad.read_column(file, columns.cell_type, "dm.cell_type_key"))
            found = h5ad.read_column(file, columns.perturbation, "dm.pert_col")
            read["perturbation"].append(found)
            if columns.batch is None:
                only = np.zeros(len(found.codes), dtype=np.int32)
                read["batch"].append(Column(names=(ONE_BATCH,), codes=only))
            else:
                read["batch"].append(h5ad.read_column(file, columns.batch, _BATCH_OPTION))
        if not found.names:
            raise UserError(f"{path} has no cells. Leave it out of [datasets] in {plan.path}.")
        if columns.control not in found.names:
            raise UserError(
                f"{path}: obs column '{columns.perturbation}' has no cells of the control "
                f"'{columns.control}' (dm.control_pert), and each file needs its own. "
                f"{did_you_mean(columns.control, found.names)}"
            )
    data_sets = [data_set for data_set, _ in files]
    read["cell_type"], in_files = _apart(read["cell_type"], data_sets)
    joined = {kind: _joined(parts) for kind, parts in read.items()}
    counts = [len(part.codes) for part in read["cell_type"]]
    table = CellTable(
        files=tuple(path for _, path in files),
        data_sets=tuple(data_sets),
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        cell_type=joined["cell_type"].codes,
        perturbation=joined["perturbation"].codes,
        batch=joined["batch"].codes,
        cell_types=joined["cell_type"].names,
        perturbations=joined["perturbation"].names,
        batches=joined["batch"].names,
        in_files=in_files,
    )
    _check_plan(plan, table, columns.control)
    return table


def renumbered(
    table: CellTable,
    names: Mapping[str, Sequence[str]],
    *,
    allows_new_perturbations: bool,
    allows_new_batches: bool = False,
) -> CellTable:
    """The same cells with the numbers of the training; what is new gets the next ones.

    Args:
        table: the cells.
        names: the names by number: `cell_types`, `perturbations`, `batches`.
        allows_new_perturbations: whether there may be others than those of the training.
        allows_new_batches: likewise.

    Raises:
        UserError: names are new that may not be.
    """
    table = _apart_as_in_training(table, names["cell_types"])
    changed: dict[str, Any] = {}
    for kind, one in (
        ("cell_types", "cell_type"),
        ("perturbations", "perturbation"),
        ("batches", "batch"),
    ):
        known = list(names[kind])
        mine: tuple[str, ...] = getattr(table, kind)
        among = set(known)
        new = [name for name in mine if name not in among]
        if new and kind == "perturbations" and not allows_new_perturbations:
            raise UserError(
                f"The model was trained without {len(new)} of the perturbations of "
                f"{_first_with(table, kind, one, new)}: {_some(new)}. One-hot vectors know only "
                f"those of the training. {did_you_mean(new[0], known)} Leave the cells of others "
                "out of the file, or train with dm.perturbation_features_file, whose vectors say "
                "what a new perturbation has in common with known ones."
            )
        if new and kind == "batches" and not allows_new_batches:
            raise UserError(
                f"The model was trained without {len(new)} of the batches of "
                f"{_first_with(table, kind, one, new)}: {_some(new)}. Train with "
                "dm.batch_col=null to apply it to others."
            )
        known += new
        places = {name: place for place, name in enumerate(known)}
        to = np.array([places[name] for name in mine], dtype=np.int32)
        changed[kind] = tuple(known)
        changed[one] = to[getattr(table, one)]
    return attrs.evolve(table, **changed)


def _first_with(table: CellTable, kind: str, one: str, names: Collection[str]) -> Path:
    """The first file with one of some names, `cell_types` say, of the cells' `cell_type`."""
    known: tuple[str, ...] = getattr(table, kind)
    numbers = [number for number, name in enumerate(known) if name in names]
    first = np.flatnonzero(np.isin(getattr(table, one), numbers))[:1]
    return table.files[int(table.file_of(first)[0])]


def _apart_as_in_training(table: CellTable, trained: Sequence[str]) -> CellTable:
    """The same cells, of cell types that the training had apart for each data set."""
    known = set(trained)
    found: list[str] = []
    for number, name in enumerate(table.cell_types):
        if name not in known:
            first = np.flatnonzero(table.cell_type == number)[:1]
            full = f"{table.data_sets[int(table.file_of(first)[0])]}.{name}"
            found.append(full if full in known else name)
        else:
            found.append(name)
    pairs = zip(found, table.cell_types, strict=True)
    in_files = {full: name for full, name in pairs if full != name}
    return attrs.evolve(table, cell_types=tuple(found), in_files={**table.in_files, **in_files})


def aligned_genes(file: Any, wanted: Sequence[str]) -> NDArray[np.int64] | None:
    """Where the wanted genes are among those of a file; None if they are just those.

    Raises:
        UserError: some are not there, or there twice.
    """
    there = h5ad.gene_names(file).tolist()
    if there == list(wanted):
        return None
    places = {name: place for place, name in enumerate(there)}
    if missing := [name for name in wanted if name not in places]:
        raise UserError(
            f"{file.filename} lacks {len(missing):,} of the {len(wanted):,} genes: "
            f"{_some(missing)}. It has {_some(there)}. All files need the same genes, by the same "
            "kind of name."
        )
    if len(places) < len(there):
        seen: set[str] = set()
        repeated = {name for name in there if name in seen or seen.add(name)}
        if among := [name for name in dict.fromkeys(wanted) if name in repeated]:
            raise UserError(
                f"{file.filename} has several genes called {_some(among)}, of which only one is "
                "wanted. Make the names unique: `adata.var_names_make_unique()`."
            )
    return np.array([places[name] for name in wanted], dtype=np.int64)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _refuse_repeated(files: Sequence[tuple[str, Path]]) -> None:
    seen: dict[Path, tuple[str, Path]] = {}
    for data_set, path in files:
        other, same = seen.setdefault(path.resolve(), (data_set, path))
        if other != data_set:
            raise UserError(f"{path} is in two data sets, '{other}' and '{data_set}'.")
        if same != path:
            raise UserError(
                f"{path} is the same file as {same}, so its cells would be in data set "
                f"'{data_set}' twice. Remove the link."
            )


def _apart(
    parts: Sequence[Column], data_sets: Sequence[str]
) -> tuple[list[Column], dict[str, str]]:
    """The cell types of each file, with the data set in the name of those that several have.

    Effects are measured against the controls of the same data set: between two laboratories the
    same cells differ by more than most perturbations do.

    Returns:
        The columns, and what the cell types are called in the files, by their new names.
    """
    having: dict[str, set[str]] = {}
    for data_set, part in zip(data_sets, parts, strict=True):
        for name in part.names:
            having.setdefault(name, set()).add(data_set)
    shared = [name for name, those in having.items() if len(those) > 1]
    full = {(one, name): f"{one}.{name}" for name in shared for one in having[name]}
    # Of a cell type that is called as one of these, it is said whose it is, too.
    same = having.keys() & set(full.values())
    full |= {(one, name): f"{one}.{name}" for name in same for one in having[name]}
    if shared:
        log.info(
            "Cell types of several data sets are trained on and measured in each by itself: %s.",
            _some(sorted(full.values())),
        )
    renamed = [
        Column(names=tuple(full.get((one, name), name) for name in part.names), codes=part.codes)
        for one, part in zip(data_sets, parts, strict=True)
    ]
    return renamed, {found: name for (_, name), found in full.items()}


def _joined(parts: Sequence[Column]) -> Column:
    """A column of the cells of all files."""
    names = sorted({name for part in parts for name in part.names})
    places = {name: place for place, name in enumerate(names)}
    codes = [
        np.array([places[name] for name in part.names], dtype=np.int32)[part.codes]
        for part in parts
    ]
    return Column(names=tuple(names), codes=np.concatenate(codes))


def _check_plan(plan: DataPlan, table: CellTable, control: str) -> None:
    cell_types: dict[str, set[str]] = {}
    perturbations: dict[tuple[str, str], set[str]] = {}
    for number, data_set in enumerate(table.data_sets):
        cells = slice(int(table.starts[number]), int(table.starts[number + 1]))
        num_perturbations = len(table.perturbations)
        both = table.cell_type[cells].astype(np.int64) * num_perturbations
        both += table.perturbation[cells]
        pairs: list[int] = np.unique(both).tolist()
        for pair in pairs:
            cell_type = table.cell_type_in_files(pair // num_perturbations)
            cell_types.setdefault(data_set, set()).add(cell_type)
            known = perturbations.setdefault((data_set, cell_type), set())
            known.add(table.perturbations[pair % num_perturbations])
    plan.check_names(
        {name: sorted(known) for name, known in cell_types.items()},
        {pair: sorted(known) for pair, known in perturbations.items()},
        control,
    )
