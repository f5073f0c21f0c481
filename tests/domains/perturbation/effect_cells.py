"""Cells whose measures are known: what the cell-eval package says of them is recorded.

    PYTHON tests/domains/perturbation/effect_cells.py

in an environment with `cell-eval==0.8.2` writes `recorded/cell_eval.json` again; it needs nothing
else, not even runwright.
"""

import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

RECORDED = Path(__file__).parent / "recorded" / "cell_eval.json"

CONTROL = "control"
GENES = [f"g{number}" for number in range(14)]
# Some perturbations have the name of a gene, and one is in the first cell type only.
PERTURBATIONS = [CONTROL, "g3", "drug a", "g11", "drug b", "g0", "drug c", "g12", "g7", "drug d"]
CELL_TYPES = ["astrocyte", "blood"]
NAMES = {
    "pearson_delta": "pearson_delta",
    "mse": "mse",
    "mae": "mae",
    "discrimination_l1": "discrimination_score_l1",
    "discrimination_l2": "discrimination_score_l2",
    "discrimination_cosine": "discrimination_score_cosine",
}
"""Our name of a measure, and that of cell-eval."""


class Group(NamedTuple):
    """The cells of a cell type and a perturbation: (cells, genes)."""

    cell_type: int
    perturbation: int
    real: NDArray[np.float32]
    predicted: NDArray[np.float32]


def groups() -> list[Group]:
    """Every group; controls are predicted as they are."""
    drawn = np.random.RandomState(5)  # whose numbers never change, unlike those of default_rng
    made: list[Group] = []
    for cell_type in range(len(CELL_TYPES)):
        base = drawn.gamma(2, 0.4, len(GENES))
        for perturbation in range(len(PERTURBATIONS) - cell_type):
            count = 5 + drawn.randint(9)
            effect = drawn.normal(0, 0.2, len(GENES)) * (perturbation > 0)
            # A target gene changes so much that the perturbation could be told by it alone.
            effect += 2 * np.array([name == PERTURBATIONS[perturbation] for name in GENES])
            real = np.abs(base + effect + drawn.normal(0, 0.4, (count, len(GENES))))
            error = drawn.normal(0, 0.35, len(GENES))
            predicted = np.abs(base + effect + error + drawn.normal(0, 0.2, real.shape))
            predicted = predicted if perturbation else real
            cells = (real.astype(np.float32), predicted.astype(np.float32))
            made.append(Group(cell_type, perturbation, *cells))
    return made


def main(path: Path) -> None:
    """Write what cell-eval says of each cell type, and of each perturbation in it."""
    anndata, pd, cell_eval = map(importlib.import_module, ("anndata", "pandas", "cell_eval"))
    said: dict[str, Any] = {}
    for number, cell_type in enumerate(CELL_TYPES):
        chosen = [group for group in groups() if group.cell_type == number]
        names = [PERTURBATIONS[group.perturbation] for group in chosen for _ in group.real]
        pair: list[Any] = []
        for kind in ("predicted", "real"):
            cells = np.concatenate([getattr(group, kind) for group in chosen])
            obs = pd.DataFrame({"target": names}, index=[str(row) for row in range(len(cells))])
            var = pd.DataFrame(index=GENES)
            pair.append(anndata.AnnData(X=cells, obs=obs, var=var))
        with tempfile.TemporaryDirectory() as scratch:
            evaluator = cell_eval.MetricsEvaluator(
                adata_pred=pair[0],
                adata_real=pair[1],
                control_pert=CONTROL,
                pert_col="target",
                outdir=scratch,
                skip_de=True,
            )
            table, mean = evaluator.compute(
                profile="anndata",
                skip_metrics=["pearson_edistance", "clustering_agreement"],
                write_csv=False,
                break_on_error=True,
            )
        means = {row["statistic"]: row for row in mean.to_dicts()}["mean"]
        said[cell_type] = {
            "perturbations": {
                row["perturbation"]: {ours: row[theirs] for ours, theirs in NAMES.items()}
                for row in table.to_dicts()
            },
            "means": {ours: means[theirs] for ours, theirs in NAMES.items()},
        }
    path.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else RECORDED)
