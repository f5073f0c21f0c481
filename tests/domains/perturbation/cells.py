"""Small h5ad files of random cells, written by the anndata package."""

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

GENES = [f"gene{i}" for i in range(12)]
CONTROL = "non-targeting"
PERTURBATIONS = (CONTROL, "A", "B", "C")


def random_cells(
    *,
    seed: int,
    cell_types: tuple[str, ...] = ("T", "U"),
    per_group: int = 7,
    batches: tuple[str, ...] = ("b0", "b1"),
    genes: list[str] | None = None,
) -> Any:
    """An AnnData: `per_group` cells of each (cell type, perturbation), shuffled."""
    rng = np.random.default_rng(seed)
    genes = GENES if genes is None else genes
    labels = [(t, p) for t in cell_types for p in PERTURBATIONS for _ in range(per_group)]
    labels = [labels[i] for i in rng.permutation(len(labels))]
    x = rng.random((len(labels), len(genes))) * (rng.random((len(labels), len(genes))) < 0.4)
    names: Any = [f"cell{seed}_{i}" for i in range(len(labels))]
    places: Any = genes
    embedding: Any = rng.normal(size=(len(labels), 5)).astype(np.float32)
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical([cell_type for cell_type, _ in labels]),
            "target_gene": pd.Categorical([perturbation for _, perturbation in labels]),
            "batch_var": pd.Categorical(rng.choice(list(batches), len(labels))),
        },
        index=names,
    )
    var = pd.DataFrame({"highly_variable": np.arange(len(genes)) % 3 == 0}, index=places)
    return anndata.AnnData(
        X=sparse.csr_matrix(x.astype(np.float32)),
        obs=obs,
        var=var,
        obsm={"X_pca": embedding},
    )


def write_project(folder: Path, toml: str = "", **files: Any) -> Path:
    """Write h5ad files and a TOML file that trains on all of them, and what `toml` holds out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, cells in files.items():
        cells.write_h5ad(folder / f"{name}.h5ad")
    data_sets = "\n".join(f'{name} = "{name}.h5ad"' for name in files)
    training = "\n".join(f'{name} = "train"' for name in files)
    path = folder / "cells.toml"
    path.write_text(f"[datasets]\n{data_sets}\n[training]\n{training}\n{toml}\n")
    return path


def options(path: Path, **more: Any) -> dict[str, Any]:
    """The options of the data module for files of `random_cells`."""
    return {
        "toml_config_path": path,
        "pert_col": "target_gene",
        "batch_col": "batch_var",
        "control_pert": CONTROL,
        "cell_set_len": 4,
        "batch_size": 3,
        **more,
    }
