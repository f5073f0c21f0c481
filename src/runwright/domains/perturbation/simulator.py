"""Simulated cells under perturbation, of which the true effects are known.

The logarithm of the rate at which a gene of a cell is expressed is a sum: a profile of the cell
type; the state of the cell, which varies within a cell type and between its batches; the phase of
the cell cycle; a shift of the batch; and the effect of the perturbation. An effect is a mixture of
response programs, each of which moves a set of genes, plus the knock-down of the target gene.
How strongly a cell follows a program depends on its state. So effects transfer between cell types,
and how much they differ can be read off the control cells. Counts are negative-binomial, and the
size of the library varies.
"""

from typing import Final, cast

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special
from scipy.stats import nbinom
from scipy.stats.qmc import Sobol

from runwright.domains.perturbation.simulation import Simulation

Floats = NDArray[np.float64]

CONTROL: Final = "non-targeting"
TARGET_SUM: Final = 10_000.0
"""The total to which the counts of a cell are normalised, before log1p."""

_NUM_STATES: Final = 3
_NUM_FEATURES: Final = 24
_DISPERSION: Final = 6.0  # the variance of a count is μ + μ²/6
_LIBRARY: Final = (2500.0, 0.35)  # median counts of a cell, and the sd of their logarithm
_KNOCK_DOWN: Final = 1.5  # of the target gene, on the natural logarithm
_MIXED: Final = 4  # programs of an effect, besides the common one

# Standard deviations of the states: far apart between cell types and batches, so that effects
# differ, and wide within them, so that the states of another cell type are not all new.
_TYPE_SPREAD: Final = 1.1
_BATCH_SPREAD: Final = 0.7
_CELL_SPREAD: Final = 0.6
_STEEPNESS: Final = 4.0  # how fast the strength of a program changes with the state

_POINTS: Final = 64  # cells of each batch over which a true mean is taken; a power of 2
_SMALLEST_RATE: Final = 1e-9
_HELD_OUT: Final = (0.2, 0.4)  # shares of the perturbations: validation, test


@attrs.frozen(kw_only=True, eq=False)
class Planted:
    """What is true of the simulated cells. Rates are natural logarithms.

    Perturbation 0 is the control.

    Attributes:
        options: what was asked for.
        profile: (cell types, genes), the rates of the cell types.
        centre: (cell types, batches, states), the mean state of the cells.
        state_genes: (states, genes), how genes show the state of a cell.
        cycle_genes: (2, genes), the cosine and sine of the cell cycle in the genes.
        batch_shift: (batches, genes), the technical effect of a batch.
        programs: (programs, genes), what a program does.
        direction: (programs, states), in which state cells follow a program strongly.
        loadings: (perturbations, programs), how effects are mixed; 0 for the control.
        target: (perturbations,), the gene that is knocked down; −1 if none is.
        features: (perturbations, features), a noisy linear view of the loadings.
        target_names: the perturbations: the control, then the names of the target genes.
    """

    options: Simulation
    profile: Floats
    centre: Floats
    state_genes: Floats
    cycle_genes: Floats
    batch_shift: Floats
    programs: Floats
    direction: Floats
    loadings: Floats
    target: NDArray[np.int64]
    features: Floats
    target_names: list[str]

    def held_out(self, cell_type: int) -> tuple[list[int], list[int]]:
        """The perturbations of a few-shot cell type that are for validation and for testing."""
        count = self.options.perturbations
        mixed = 1 + np.random.default_rng([self.options.seed, 3, cell_type]).permutation(count)
        validation, test = (max(1, round(share * count)) for share in _HELD_OUT)
        return sorted(mixed[:validation].tolist()), sorted(mixed[validation:][:test].tolist())

    def strength(self, state: Floats) -> Floats:
        """How strongly cells follow the programs, from 0 to 2.

        Args:
            state: (…, states), the state of the cells.

        Returns:
            (…, programs).
        """
        return 2 / (1 + np.exp(-_STEEPNESS * state @ self.direction.T))


@attrs.frozen(kw_only=True, eq=False)
class Latents:
    """What is not observed of N cells.

    Attributes:
        state: (N, states).
        phase: (N,), in radians.
        batch: (N,), the number of the batch.
        library_size: (N,), the expected total of the counts.
    """

    state: Floats
    phase: Floats
    batch: NDArray[np.int64]
    library_size: Floats


def plant(options: Simulation) -> Planted:
    """Draw cell types, batches, programs and perturbations."""
    rng = np.random.default_rng([options.seed, 0])
    genes, count = options.genes, options.perturbations
    common = rng.normal(0, 1.2, genes)
    marker = rng.normal(0, 0.4, (options.cell_types, genes))
    centre = rng.normal(0, _TYPE_SPREAD, (options.cell_types, 1, _NUM_STATES))
    shift = rng.normal(0, _BATCH_SPREAD, (options.cell_types, options.batches, _NUM_STATES))
    direction = rng.normal(0, 1, (options.programs, _NUM_STATES))
    angle = rng.uniform(0, 2 * np.pi, genes)
    cycle = np.stack([np.cos(angle), np.sin(angle)]) * 0.6
    loadings = np.zeros((count + 1, options.programs))
    is_active = rng.permutation(count) >= round(options.inactive * count)
    for perturbation in 1 + np.flatnonzero(is_active):
        loadings[perturbation, 0] = rng.uniform(0.2, 0.8)
        mixed = min(_MIXED, options.programs - 1)
        chosen = 1 + rng.choice(options.programs - 1, mixed, replace=False)
        sign = np.where(rng.random(mixed) < 0.1, -1, 1)
        loadings[perturbation, chosen] = sign * rng.uniform(0.3, 1, mixed)
    target = rng.choice(genes, count, replace=False)
    names = options.gene_names
    view = rng.normal(0, 1, (options.programs, _NUM_FEATURES))
    features = loadings @ view + rng.normal(0, 0.3, (count + 1, _NUM_FEATURES))
    features[0] = 0
    return Planted(
        options=options,
        profile=common + marker * _some(rng, marker.shape, 0.3),
        centre=centre + shift,
        state_genes=rng.normal(0, 0.7, (_NUM_STATES, genes)) * _some(rng, genes, 0.25),
        cycle_genes=cycle * _some(rng, genes, 0.15),
        batch_shift=rng.normal(0, 0.1, (options.batches, genes)),
        programs=rng.normal(0, 0.8, (options.programs, genes))
        * _some(rng, (options.programs, genes), 0.08),
        direction=direction / np.linalg.norm(direction, axis=1, keepdims=True),
        loadings=loadings,
        target=np.concatenate([[-1], np.where(is_active, target, -1)]),
        features=features,
        target_names=[CONTROL, *(names[gene] for gene in target)],
    )


def _some(rng: np.random.Generator, shape: int | tuple[int, ...], share: float) -> NDArray[np.bool]:
    return rng.random(shape) < share


def draw_latents(planted: Planted, cell_type: int, count: int, rng: np.random.Generator) -> Latents:
    """Draw cells of a type, evenly from the batches."""
    batch = np.arange(count) % planted.options.batches
    return _latents(planted, cell_type, batch, rng.random((count, _NUM_STATES + 2)))


def _latents(
    planted: Planted, cell_type: int, batch: NDArray[np.int64], uniform: Floats
) -> Latents:
    """Cells from uniform draws (N, states + 2): their states, library and phase."""
    normal = cast("Floats", special.ndtri(uniform[:, :-1]))
    median, spread = _LIBRARY
    return Latents(
        state=planted.centre[cell_type, batch] + _CELL_SPREAD * normal[:, :-1],
        phase=2 * np.pi * uniform[:, -1],
        batch=batch,
        library_size=median * np.exp(spread * normal[:, -1]),
    )


def rates(planted: Planted, cell_type: int, perturbation: int, latents: Latents) -> Floats:
    """The share of each gene in the counts of a cell: (N, genes), each row sums to 1."""
    followed = planted.strength(latents.state) * planted.loadings[perturbation]
    cycle = np.stack([np.cos(latents.phase), np.sin(latents.phase)], axis=1)
    log_rate = (
        planted.profile[cell_type]
        + latents.state @ planted.state_genes
        + cycle @ planted.cycle_genes
        + planted.batch_shift[latents.batch]
        + followed @ planted.programs
    )
    target = planted.target[perturbation]
    if target >= 0:
        log_rate[:, target] -= _KNOCK_DOWN
    rate = np.exp(log_rate)
    return rate / rate.sum(axis=1, keepdims=True)


def draw_counts(
    planted: Planted, cell_type: int, perturbation: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cells of a (cell type, perturbation).

    Returns:
        The counts, (N, genes), and the batch of each cell, (N,).
    """
    options = planted.options
    rng = np.random.default_rng([options.seed, 1, cell_type, perturbation])
    count = options.cells if perturbation else options.controls
    latents = draw_latents(planted, cell_type, count, rng)
    mean = rates(planted, cell_type, perturbation, latents) * latents.library_size[:, None]
    # Gamma-distributed rates make Poisson counts negative-binomial.
    return rng.poisson(mean * rng.gamma(_DISPERSION, 1 / _DISPERSION, mean.shape)), latents.batch


def log_normalised(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """log1p of the counts, (N, genes), of each cell divided by their total and times 10,000."""
    total = np.maximum(1, counts.sum(axis=1, keepdims=True))
    return np.log1p(TARGET_SUM * counts / total).astype(np.float32)


def true_means(planted: Planted) -> NDArray[np.float32]:
    """The expected log1p expression, (cell types, perturbations, genes).

    It is the mean over states, phases, batches and libraries of what negative-binomial counts have
    as their expectation; the total of a cell is taken to be the expected one. All perturbations of
    a cell type share the same draws, which are quasi-random.
    """
    options = planted.options
    batch = np.arange(options.batches).repeat(_POINTS)
    points = Sobol(_NUM_STATES + 2, rng=np.random.default_rng([options.seed, 2])).random(_POINTS)
    uniform = np.tile(np.clip(points, 1e-6, 1 - 1e-6), (options.batches, 1))
    expectation = _Expectation()
    means = np.empty((options.cell_types, options.perturbations + 1, options.genes), np.float32)
    for cell_type in range(options.cell_types):
        latents = _latents(planted, cell_type, batch, uniform)
        for perturbation in range(options.perturbations + 1):
            rate = rates(planted, cell_type, perturbation, latents)
            means[cell_type, perturbation] = expectation(rate, latents.library_size).mean(axis=0)
    return means


class _Expectation:
    """The expectation of log1p(10,000 · n / L), n the count of a gene of rate ρ in a library L."""

    def __init__(self) -> None:
        """Tabulate it on a grid of log ρ and log L."""
        median, spread = _LIBRARY
        self._rates = cast("Floats", np.linspace(np.log(_SMALLEST_RATE), np.log(0.5), 300))
        self._libraries = cast("Floats", np.log(median) + spread * np.linspace(-5, 5, 15))
        self._table = np.empty((len(self._rates), len(self._libraries)))
        for column, library in enumerate(np.exp(self._libraries)):
            mean = np.exp(self._rates) * library
            most = nbinom.ppf(1 - 1e-7, _DISPERSION, _DISPERSION / (_DISPERSION + mean))
            for row, (one, bound) in enumerate(zip(mean, most, strict=True)):
                count = np.arange(int(bound) + 1)
                weight = nbinom.pmf(count, _DISPERSION, _DISPERSION / (_DISPERSION + one))
                self._table[row, column] = weight @ np.log1p(TARGET_SUM * count / library)

    def __call__(self, rate: Floats, library: Floats) -> Floats:
        """The expectations, (N, genes), of rates (N, genes) in libraries (N,)."""
        row = _position(self._rates, np.log(np.maximum(rate, _SMALLEST_RATE)))
        column = np.broadcast_to(_position(self._libraries, np.log(library))[:, None], row.shape)
        place = np.stack([row, column])
        return cast("Floats", ndimage.map_coordinates(self._table, place, order=1, mode="nearest"))


def _position(grid: Floats, value: Floats) -> Floats:
    return (value - grid[0]) / (grid[1] - grid[0])
