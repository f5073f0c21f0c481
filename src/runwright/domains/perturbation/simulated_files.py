"""The files of simulated cells: h5ad, which of them are held out, features, and the truth."""

import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, Literal, cast

import attrs
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from runwright import UserError
from runwright.domains.perturbation.simulation import Simulation
from runwright.domains.perturbation.simulator import (
    Floats,
    Planted,
    draw_counts,
    log_normalised,
    plant,
    true_means,
)

log = logging.getLogger(__name__)

FOLDER: Final = "perturbation"
PLAN: Final = "perturbation.toml"
FEATURES: Final = "features.safetensors"
TRUTH: Final = "truth.npz"
SIMULATED: Final = "SIMULATED.txt"

_COMPONENTS: Final = 32
_MARKER: Final = """\
These cells are simulated, by `python -m runwright simulate perturbation`: no such cell types, genes
or effects exist. {plan} says what is trained on and what is held out; {truth} holds the true mean
expression of every cell type under every perturbation.

What was simulated:
{options}
"""


def write_simulation(
    root: Path, options: Simulation, *, compression: Literal["gzip"] | None = None
) -> Path:
    """Simulate cells and write them.

    Args:
        root: the folder in which to make a folder `perturbation`.
        options: what to simulate.
        compression: how the arrays in the h5ad files are compressed, if they are.

    Returns:
        The folder; if the same cells are already there, they are kept.

    Raises:
        UserError: something else is there, or the folder cannot be written to.
    """
    folder = root / FOLDER
    said = {**attrs.asdict(options), "compression": compression}
    shown = "\n".join(f"  {name} = {json.dumps(value)}" for name, value in said.items())
    marker = _MARKER.format(plan=PLAN, truth=TRUTH, options=shown)
    if (folder / SIMULATED).exists() and (folder / SIMULATED).read_text() == marker:
        log.info("The same simulated cells are already in %s.", folder)
        return folder
    _refuse_occupied(folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
        # Moved into place only when complete: an interrupted simulation leaves nothing behind.
        with tempfile.TemporaryDirectory(dir=root, prefix=f".{FOLDER}-") as scratch:
            unfinished = Path(scratch) / FOLDER
            (unfinished / "cells").mkdir(parents=True)
            planted = plant(options)
            _write_cells(unfinished / "cells", planted, compression)
            _write_features(unfinished / FEATURES, planted)
            _write_truth(unfinished / TRUTH, planted)
            (unfinished / PLAN).write_text(plan_text(planted))
            (unfinished / SIMULATED).write_text(marker)
            _refuse_occupied(folder)
            unfinished.replace(folder)
    except OSError as error:
        raise UserError(f"Simulated cells cannot be written to {folder}: {error}") from error
    return folder


def _refuse_occupied(folder: Path) -> None:
    content = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if content:
        other = "cells that were simulated with other options"
        shown = other if SIMULATED in content else ", ".join(content[:5])
        raise UserError(
            f"{folder} is not empty: it holds {shown}. Nothing was written. Choose another --root, "
            "or delete the folder if it is not needed."
        )


def plan_text(planted: Planted) -> str:
    """The TOML file that says which cells are held out."""
    options, names = planted.options, planted.target_names
    lines = ["[datasets]", 'simulated = "cells"', "", "[training]", 'simulated = "train"', ""]
    lines.append("[zeroshot]")
    for number in options.zero_shot_types:
        split = "val" if number == options.zero_shot_types[0] else "test"
        lines.append(f'"simulated.{options.cell_type_names[number]}" = "{split}"')
    for number in options.few_shot_types:
        lines += ["", f'[fewshot."simulated.{options.cell_type_names[number]}"]']
        for split, held_out in zip(("val", "test"), planted.held_out(number), strict=True):
            lines.append(f"{split} = {json.dumps([names[one] for one in held_out])}")
    return "\n".join(lines) + "\n"


def _write_features(path: Path, planted: Planted) -> None:
    from safetensors.numpy import save

    vectors = planted.features.astype(np.float32)
    path.write_bytes(save(dict(zip(planted.target_names, vectors, strict=True))))


def _write_truth(path: Path, planted: Planted) -> None:
    with path.open("wb") as file:
        np.savez(
            file,
            mean=true_means(planted),
            cell_types=np.array(planted.options.cell_type_names),
            perturbations=np.array(planted.target_names),
            genes=np.array(planted.options.gene_names),
            loadings=planted.loadings,
            target=planted.target,
        )


@attrs.frozen(kw_only=True, eq=False)
class _Cells:
    """The cells of a type: sparse counts and log1p expression, (N, genes), and what they are."""

    counts: Any
    expression: Any
    perturbation: NDArray[np.int64]
    batch: NDArray[np.int64]


@attrs.frozen(kw_only=True, eq=False)
class _Embedding:
    """The highly variable genes, and principal axes (variable genes, components) around a centre.

    Both are those of the cells that are trained on.
    """

    is_variable: NDArray[np.bool]
    centre: Floats
    axes: Floats

    def of(self, expression: Any) -> dict[str, NDArray[np.float32]]:
        """The embeddings of cells, (N, genes), sparse."""
        variable = cast("NDArray[np.float32]", expression[:, self.is_variable].toarray())
        components = (variable - self.centre) @ self.axes
        return {"X_hvg": variable, "X_pca": components.astype(np.float32)}


def _write_cells(folder: Path, planted: Planted, compression: Literal["gzip"] | None) -> None:
    names = planted.options.cell_type_names
    is_quiet = not sys.stderr.isatty()
    cells = [
        _draw(planted, number) for number in tqdm(range(len(names)), "Drawing", disable=is_quiet)
    ]
    trained = cells[: planted.options.few_shot_types.start]
    embedding = _fit([one.expression for one in trained], planted.options.variable_genes)
    for name, one in zip(tqdm(names, "Writing", disable=is_quiet), cells, strict=True):
        adata = _anndata(planted, name, one, embedding)
        adata.write_h5ad(folder / f"{name}.h5ad", compression=compression)


def _draw(planted: Planted, cell_type: int) -> _Cells:
    from scipy import sparse

    counts: list[Any] = []
    expression: list[Any] = []
    perturbation: list[NDArray[np.int64]] = []
    batches: list[NDArray[np.int64]] = []
    for number in range(len(planted.target_names)):
        drawn, batch = draw_counts(planted, cell_type, number)
        counts.append(sparse.csr_matrix(drawn.astype(np.int32)))
        expression.append(sparse.csr_matrix(log_normalised(drawn)))
        perturbation.append(np.full(len(batch), number))
        batches.append(batch)
    # Cells of a real experiment are not sorted by perturbation either.
    rng = np.random.default_rng([planted.options.seed, 4, cell_type])
    order = rng.permutation(sum(map(len, batches)))
    return _Cells(
        counts=cast("Any", sparse.vstack(counts, format="csr"))[order],
        expression=cast("Any", sparse.vstack(expression, format="csr"))[order],
        perturbation=np.concatenate(perturbation)[order],
        batch=np.concatenate(batches)[order],
    )


def _fit(expression: list[Any], variable_genes: int) -> _Embedding:
    """Find what varies most between cells, in sparse matrices (N, genes)."""
    count = sum(x.shape[0] for x in expression)
    mean = cast("Floats", sum(np.asarray(x.sum(axis=0)).ravel() for x in expression) / count)
    squares = sum(np.asarray(x.power(2).sum(axis=0)).ravel() for x in expression) / count
    is_variable = np.zeros(len(mean), dtype=np.bool)
    is_variable[np.argsort(mean**2 - squares, kind="stable")[:variable_genes]] = True
    chosen = [x[:, is_variable] for x in expression]
    products = cast("Floats", sum((x.T @ x).toarray() for x in chosen) / count)
    centre = mean[is_variable]
    _, axes = np.linalg.eigh(products.astype(np.float64) - np.outer(centre, centre))
    axes = axes[:, ::-1][:, :_COMPONENTS]
    # An axis may point either way; its largest part is made positive.
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    return _Embedding(is_variable=is_variable, centre=centre, axes=axes * np.sign(largest))


def _anndata(planted: Planted, cell_type: str, cells: _Cells, embedding: _Embedding) -> Any:
    import anndata
    import pandas as pd

    count = len(cells.batch)
    obs = pd.DataFrame(
        {
            "target_gene": pd.Categorical.from_codes(cells.perturbation, planted.target_names),
            "cell_type": pd.Categorical.from_codes(np.zeros(count, np.int64), [cell_type]),
            "batch_var": pd.Categorical.from_codes(cells.batch, planted.options.batch_names),
        }
    )
    obs.index = pd.Index([f"{cell_type}_{number}" for number in range(count)])
    var = pd.DataFrame({"highly_variable": embedding.is_variable})
    var.index = pd.Index(planted.options.gene_names)
    adata = anndata.AnnData(X=cells.expression, obs=obs, var=var)
    adata.layers["counts"] = cells.counts
    for name, values in embedding.of(cells.expression).items():
        adata.obsm[name] = values
    return adata
