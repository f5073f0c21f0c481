"""The measures of each cell type and perturbation, their means, and bootstrap runs of these."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

HIGHER_IS_BETTER: Final[Mapping[str, bool]] = {
    "pearson_delta": True,
    "mse": False,
    "mae": False,
    "discrimination_l1": True,
    "discrimination_l2": True,
    "discrimination_cosine": True,
}
"""The measures, and whether more of each is better."""


@attrs.frozen(kw_only=True, eq=False)
class EffectTable:
    """The measures of N pairs of a cell type and a perturbation.

    Attributes:
        cell_type: (N,), the number of the cell type.
        perturbation: (N,), the number of the perturbation.
        measures: each measure by name, (N,); NaN where it is not defined.
    """

    cell_type: NDArray[np.int64]
    perturbation: NDArray[np.int64]
    measures: Mapping[str, NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.cell_type)

    def of(self, cell_types: Collection[int], *, others: bool = False) -> "EffectTable":
        """The rows of some cell types, or with `others` all but these."""
        rows = np.isin(self.cell_type, list(cell_types), invert=others)
        return EffectTable(
            cell_type=self.cell_type[rows],
            perturbation=self.perturbation[rows],
            measures={name: column[rows] for name, column in self.measures.items()},
        )

    def of_cell_types(self) -> dict[int, dict[str, float]]:
        """The mean of every measure over the perturbations of each cell type."""
        found: dict[int, dict[str, float]] = {}
        for cell_type in np.unique(self.cell_type).tolist():
            rows = self.cell_type == cell_type
            found[cell_type] = {name: _mean(column[rows]) for name, column in self._columns()}
        return found

    def means(self) -> dict[str, float]:
        """The mean of every measure over perturbations, then over cell types; NaN without any."""
        of_types = self.of_cell_types().values()
        return {
            name: _mean(np.array([one[name] for one in of_types], dtype=np.float64))
            for name in HIGHER_IS_BETTER
        }

    def bootstrap(self, num_runs: int, seed: int) -> dict[str, NDArray[np.float64]]:
        """`means` of resampled perturbations: each measure by name, (num_runs,).

        A bootstrap run draws as many perturbations as there are, with replacement, and takes each
        in all of its cell types: what is hard to predict in one of them is so in the others. A
        perturbation's rank among the others, in the discrimination scores, stays what it was.
        """
        perturbations, drawn = np.unique(self.perturbation, return_inverse=True)
        count = len(perturbations)
        if count == 0:
            return {name: np.full(num_runs, math.nan) for name in HIGHER_IS_BETTER}
        rng = np.random.default_rng(seed)
        times = rng.multinomial(count, np.full(count, 1 / count), size=num_runs)[:, drawn]
        return {name: self._resampled(self.measures[name], times) for name in HIGHER_IS_BETTER}

    def _resampled(
        self, column: NDArray[np.float64], times: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The means of a measure in which each row is there `times` times: (runs, N) → (runs,)."""
        of_types: list[NDArray[np.float64]] = []
        for cell_type in np.unique(self.cell_type):
            rows = (self.cell_type == cell_type) & ~np.isnan(column)
            total = times[:, rows].sum(axis=1)
            with np.errstate(invalid="ignore"):  # 0/0 where no perturbation was drawn
                of_types.append(times[:, rows] @ column[rows] / total)
        means = np.array(of_types).reshape(len(of_types), len(times))
        known = ~np.isnan(means)
        with np.errstate(invalid="ignore"):
            return np.where(known, means, 0).sum(axis=0) / known.sum(axis=0)

    def _columns(self) -> Sequence[tuple[str, NDArray[np.float64]]]:
        return [(name, self.measures[name]) for name in HIGHER_IS_BETTER]


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan
