"""The measures of effects as the package cell-eval computes them, from mean profiles.

They are of mean profiles whoever computes them, so cell-eval gets each profile as one cell. What it
measures besides, of differential expression, needs the cells: `stage=predict` writes them for it.
"""

import importlib.metadata
import importlib.util
import tempfile
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from runwright import UserError
from runwright.domains.perturbation.effect_table import HIGHER_IS_BETTER

_COLUMN: Final = "perturbation"
_CONTROL: Final = "the control"
_NAMES: Final = {
    name: name.replace("discrimination_", "discrimination_score_") for name in HIGHER_IS_BETTER
}


class Profiles(NamedTuple):
    """The mean cells of N perturbations of a cell type, float64.

    Attributes:
        perturbations: the names of the perturbations.
        genes: the names of the genes.
        predicted: (N, genes).
        real: (N, genes).
        control: (genes,).
    """

    perturbations: Sequence[str]
    genes: Sequence[str]
    predicted: NDArray[np.float64]
    real: NDArray[np.float64]
    control: NDArray[np.float64]


def require_cell_eval() -> None:
    """Make sure that cell-eval is installed.

    Raises:
        UserError: it is not.
    """
    if importlib.util.find_spec("cell_eval") is None:
        raise UserError(
            "objective.cell_eval=true needs the package cell-eval, which is not installed. Install "
            "it with `pip install cell-eval`, or leave the option out: runwright computes the same."
        )


def version() -> str:
    """The version of cell-eval."""
    return importlib.metadata.version("cell-eval")


def measures_by_cell_eval(profiles: Profiles) -> dict[str, NDArray[np.float64]]:
    """The measures of each perturbation, (N,), under the names that they have here."""
    import anndata
    import cell_eval  # pyright: ignore[reportMissingImports]  # no extra of this package
    import pandas

    package = cast("Any", cell_eval)

    def cells(means: NDArray[np.float64]) -> Any:
        names: Any = [*profiles.perturbations, _CONTROL]
        obs = pandas.DataFrame({_COLUMN: pandas.Categorical(names)}, index=names)
        genes: Any = list(profiles.genes)
        var = pandas.DataFrame(index=genes)
        return anndata.AnnData(X=np.vstack([means, profiles.control]), obs=obs, var=var)

    with tempfile.TemporaryDirectory() as scratch:
        evaluator = package.MetricsEvaluator(
            adata_pred=cells(profiles.predicted),
            adata_real=cells(profiles.real),
            control_pert=_CONTROL,
            pert_col=_COLUMN,
            outdir=f"{scratch}/cell_eval",
            allow_discrete=True,  # it need not guess whether the means are counts
            skip_de=True,
        )
        table, _ = evaluator.compute(
            profile="anndata",
            skip_metrics=["pearson_edistance", "clustering_agreement"],
            write_csv=False,
            break_on_error=True,
        )
    rows = {row["perturbation"]: row for row in table.to_dicts()}
    return {
        ours: np.array([rows[name][theirs] for name in profiles.perturbations], dtype=np.float64)
        for ours, theirs in _NAMES.items()
    }
