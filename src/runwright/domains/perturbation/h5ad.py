"""Reading AnnData's h5ad files by h5py: the columns of the cells, the names of the genes.

The layout is that of the anndata package, "On disk format" of its documentation.
"""

import contextlib
import errno
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import attrs
import h5py
import numpy as np
from numpy.typing import NDArray

from runwright import UserError, did_you_mean

# Of columns that are not categorical, so that the texts of all cells are never held.
_CELLS_AT_ONCE: Final = 2**20


_TRUE: Final = ("True", "1", "1.0")


@attrs.frozen(kw_only=True, eq=False)
class Column:
    """A column of the cells, as categories.

    Attributes:
        names: the categories, sorted.
        codes: (N,), int32, the category of each cell.
    """

    names: tuple[str, ...]
    codes: NDArray[np.int32]


@contextlib.contextmanager
def opened(path: Path) -> Generator[Any]:
    """An h5ad file, open for reading.

    Raises:
        UserError: it cannot be read, or is not an h5ad file.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise UserError(unreadable(path, error)) from error
    with file:
        missing = [name for name in ("obs", "var") if name not in file]
        if missing:
            raise UserError(
                f"{path} has no {' and no '.join(missing)}, so it is not an h5ad file of AnnData. "
                f"It has {', '.join(file) or 'nothing'}."
            )
        if not all(isinstance(file[name], h5py.Group) for name in ("obs", "var")):
            raise UserError(
                f"{path} was written by an anndata package before 0.7, which kept obs and var in "
                "tables. Write it anew: `anndata.read_h5ad(old).write_h5ad(new)`."
            )
        yield file


def unreadable(path: Path, error: OSError) -> str:
    """Why a file cannot be read as an h5ad file, as a sentence."""
    if error.errno == errno.ENOENT:
        return f"{path} does not exist."
    if error.errno == errno.EMFILE:
        return (
            f"{path} cannot be opened: each file stays open while it is trained on, and there are "
            "more than may be open at once. Raise the limit before you start, `ulimit -n 65536`, "
            "or join the files."
        )
    return f"{path} cannot be read as an h5ad file: {error}."


def read_column(file: Any, name: str, option: str) -> Column:
    """A column of `obs` as categories: one that is categorical, or texts, numbers or truths.

    Args:
        file: the open file.
        name: the name of the column.
        option: the option that names it, for messages.

    Raises:
        UserError: there is no such column, it cannot be read, or cells have no value in it.
    """
    obs = file["obs"]
    columns = [column for column in obs if column not in ("__categories", _index_name(obs))]
    if name not in columns:
        raise UserError(
            f"{file.filename}: obs has no column '{name}' ({option}). {did_you_mean(name, columns)}"
        )
    found = _coded(obs, name)
    if found is None:
        kind = obs[name].attrs.get("encoding-type", "a group")
        raise UserError(
            f"{file.filename}: obs column '{name}' ({option}) is stored as '{kind}', which is not "
            f"known here. Make it categorical: `adata.obs['{name}'] = adata.obs['{name}']"
            ".astype(str).astype('category')`."
        )
    names, codes = found
    codes[np.append(names == "", True)[codes]] = -1
    if without := int((codes < 0).sum()):
        raise UserError(
            f"{file.filename}: {without:,} of {len(codes):,} cells have no value in obs column "
            f"'{name}' ({option}). Remove these cells, or give them one."
        )
    used = np.unique(codes)  # categories without a cell are not there
    order = used[np.argsort(names[used].astype(str), kind="stable")]
    rank = np.full(len(names), -1, dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return Column(names=tuple(str(one) for one in names[order]), codes=rank[codes])


def _coded(frame: Any, name: str) -> tuple[NDArray[Any], NDArray[np.int32]] | None:
    """A column as texts, and which of them each row has, or −1; None if it is of another kind."""
    node = frame[name]
    if isinstance(node, h5py.Dataset):
        if name in frame.get("__categories", ()):  # before anndata 0.7
            return _texts(frame["__categories"][name]), _codes(node)
        return _categories(node)
    if "codes" in node:
        return _texts(node["categories"]), _codes(node["codes"])
    if "values" not in node:
        return None
    names, codes = _categories(node["values"])
    codes[np.asarray(node["mask"][:], dtype=bool)] = -1
    return names, codes


def _codes(node: Any) -> NDArray[np.int32]:
    return np.asarray(node[:], dtype=np.int32)


def _categories(node: Any) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """The values of a data set as texts, and which of them each cell has; −1 is not a number."""
    places: dict[str, int] = {}
    codes = np.empty(len(node), dtype=np.int32)
    for first in range(0, len(node), _CELLS_AT_ONCE):
        part = slice(first, first + _CELLS_AT_ONCE)
        is_text = h5py.check_string_dtype(node.dtype) is not None
        values: Any = np.unique(node.asstr()[part] if is_text else node[part], return_inverse=True)
        here = [
            -1 if value != value else places.setdefault(str(value), len(places))  # noqa: PLR0124
            for value in values[0].tolist()
        ]
        codes[part] = np.array(here, dtype=np.int32)[values[1]]
    return np.array([*places], dtype=object), codes


def cell_names(file: Any) -> NDArray[Any]:
    """(N,), the barcodes of the cells: the index of `obs`."""
    return _index(file["obs"])


def num_cells(file: Any) -> int:
    """The number of cells."""
    obs = file["obs"]
    return len(obs[_index_name(obs)])


def gene_names(file: Any) -> NDArray[Any]:
    """(genes,), the names of the genes: the index of `var`."""
    return _index(file["var"])


def says_highly_variable(file: Any) -> bool:
    """Whether a file says which genes are highly variable; see `highly_variable`."""
    return "highly_variable" in file["var"] or ("uns" in file and "hvg_names" in file["uns"])


def highly_variable(file: Any) -> NDArray[np.int64]:
    """Which genes are highly variable: by `var/highly_variable`, or by `uns/hvg_names`.

    Raises:
        UserError: the file does not say, or names genes that it does not have.
    """
    if "highly_variable" in file["var"]:
        names, codes = _coded(file["var"], "highly_variable") or (np.empty(0), np.empty(0, int))
        chosen = np.flatnonzero(np.append(np.isin(names, _TRUE), False)[codes])
    elif "uns" in file and "hvg_names" in file["uns"]:
        names = _texts(file["uns"]["hvg_names"])
        places = {name: place for place, name in enumerate(gene_names(file))}
        if unknown := [str(name) for name in names if name not in places]:
            raise UserError(
                f"{file.filename}: uns/hvg_names has {len(unknown)} genes that var does not have: "
                f"{', '.join(unknown[:5])}{', …' if len(unknown) > 5 else ''}."
            )
        chosen = np.array(sorted(places[name] for name in names), dtype=np.int64)
    else:
        raise UserError(
            f"{file.filename} does not say which genes are highly variable (var/highly_variable "
            "or uns/hvg_names). Use dm.output_space=all, or mark them, such as with scanpy's "
            "pp.highly_variable_genes."
        )
    if not len(chosen):
        raise UserError(f"{file.filename}: no gene is marked as highly variable.")
    return chosen


def _index_name(frame: Any) -> str:
    return str(frame.attrs.get("_index", "_index"))


def _index(frame: Any) -> NDArray[Any]:
    return _texts(frame[_index_name(frame)])


def _texts(node: Any) -> NDArray[Any]:
    """A node as an array of texts."""
    if isinstance(node, h5py.Group):  # a nullable array
        node = node["values"]
    if h5py.check_string_dtype(node.dtype) is not None:
        return np.asarray(node.asstr()[:], dtype=object)
    values: NDArray[Any] = node[:]
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    return np.asarray([str(value) for value in values.tolist()], dtype=object)
