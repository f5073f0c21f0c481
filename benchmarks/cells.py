"""Reading sets of cells: `dm=perturbation` against the cell-load package, in pairs a second.

    python benchmarks/cells.py --peer /path/to/environment/bin/python

A pair is a perturbed cell and its control. Both sides read the same generated h5ad files, at fully
random places, in batches of 16 sets of 128 cells, without workers: what is timed is how fast
batches come. The sides take turns, some batches each. Ratios are medians over the rounds, with the
lowest and the highest. cell-load is run by the Python of an environment of its own, in which
`pip install cell-load` was done, because its dependencies differ from those of runwright.

`sparse`: 20,000 cells of 18,080 genes, of which 15 % are not zero, as rows that become dense on the
device. `dense`: 2,000 genes in `obsm`, dense. The last lines are ours alone: how the memory of the
process grows with the number of cells, and how fast sparse cells are read that are only on disk.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import anndata
import numpy as np
import pandas as pd
import torch
from scipy import sparse

from runwright import Runtime
from runwright.domains.perturbation.data_module import PerturbationDataModule
from runwright.domains.perturbation.rows import CsrRows, open_rows

SETS: Final = 16
CELLS: Final = 128
GENES: Final = 18_080
DENSE: Final = 2_000
DENSITY: Final = 0.15
PERTURBATIONS: Final = 40

# What cell-load's side does: a loop over its batches, timed from outside.
PEER: Final = """
import sys, time, warnings
warnings.filterwarnings("ignore")
from cell_load.data_modules import PerturbationDataModule
toml, kind = sys.argv[1:3]
module = PerturbationDataModule(
    toml_config_path=toml, batch_size=16, num_workers=0, pert_col="gene", batch_col="batch",
    cell_type_key="cell_type", control_pert="control", cell_sentence_len=128,
    embed_key=None if kind == "sparse" else "X_hvg",
    output_space="all" if kind == "sparse" else "gene",
)
module.setup()
loader = module.train_dataloader()
def batches():
    while True:
        yield from loader
source = batches()
next(source)
print("ready", flush=True)
for line in sys.stdin:
    started, pairs = time.perf_counter(), 0
    for _ in range(int(line)):
        pairs += next(source)["pert_cell_emb"].shape[0]
    print(pairs / (time.perf_counter() - started), flush=True)
"""


def write(folder: Path, count: int) -> Path:
    """Write `count` random cells; returns the TOML file."""
    rng = np.random.default_rng(0)
    per_row = int(GENES * DENSITY)
    indices = np.concatenate(
        [np.sort(rng.choice(GENES, per_row, replace=False)) for _ in range(200)]
    ).reshape(200, per_row)
    chosen = indices[rng.integers(200, size=count)].astype(np.int32)
    offsets = np.arange(count + 1, dtype=np.int64) * per_row
    values = rng.random(count * per_row, dtype=np.float32)
    x: Any = sparse.csr_matrix((values, chosen.ravel(), offsets), shape=(count, GENES))
    names = ["control", *(f"p{number:02}" for number in range(PERTURBATIONS))]
    obs = pd.DataFrame(
        {
            "gene": pd.Categorical(rng.choice(names, count)),
            "cell_type": pd.Categorical(rng.choice(["T", "U"], count)),
            "batch": pd.Categorical(rng.choice(["1", "2"], count)),
        },
    )
    obs.index = obs.index.astype(str)
    hvg: Any = rng.random((count, DENSE), dtype=np.float32)
    cells = anndata.AnnData(X=x, obs=obs, obsm={"X_hvg": hvg})
    cells.var["highly_variable"] = np.arange(GENES) < DENSE
    cells.write_h5ad(folder / "cells.h5ad")
    toml = folder / "cells.toml"
    # cell-load looks for files where it is run, not beside the TOML file.
    toml.write_text(f'[datasets]\ncells = "{folder}/cells.h5ad"\n[training]\ncells = "train"\n')
    return toml


def ours(toml: Path, kind: str) -> Iterator[int]:
    """The number of pairs of each batch, for ever."""
    module = PerturbationDataModule(
        toml_config_path=toml,
        batch_col="batch",
        control_pert="control",
        embed_key=None if kind == "sparse" else "X_hvg",
        output_space="all" if kind == "sparse" else "embedding",
        cell_set_len=CELLS,
        batch_size=SETS,
    )
    with tempfile.TemporaryDirectory() as run_dir:
        runtime = Runtime(device=torch.device("cpu"), seed=0, run_dir=Path(run_dir))
        train = module.build(runtime).train
    epoch = 0
    while True:
        for batch in train.batches(epoch):
            yield batch.cells.shape[0] * batch.cells.shape[1]
        epoch += 1


def rate(batches: Iterator[int], count: int) -> float:
    """Pairs a second, over some batches."""
    started = time.perf_counter()
    pairs = sum(next(batches) for _ in range(count))
    return pairs / (time.perf_counter() - started)


def spread(values: list[float], digits: int) -> str:
    """The median, the lowest and the highest."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def compare(toml: Path, kind: str, peer: str | None, rounds: int) -> None:
    """Print the rates of both sides, and their ratio."""
    batches = ours(toml, kind)
    next(batches)
    if peer is None:
        rates = [rate(batches, 10) for _ in range(rounds)]
        print(f"{kind:7} runwright {spread(rates, 0)} pairs/s", flush=True)
        return
    with subprocess.Popen(
        [peer, "-c", PEER, str(toml), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while process.stdout.readline().strip() != "ready":
            if process.poll() is not None:
                raise SystemExit("cell-load failed.")
        rates: list[float] = []
        theirs: list[float] = []
        for _ in range(rounds):
            rates.append(rate(batches, 10))
            process.stdin.write("2\n")
            process.stdin.flush()
            theirs.append(float(process.stdout.readline()))
        process.stdin.close()
    ratios = [one / other for one, other in zip(rates, theirs, strict=True)]
    print(
        f"{kind:7} runwright {spread(rates, 0)} pairs/s, cell-load {spread(theirs, 0)}, "
        f"ratio {spread(ratios, 1)}",
        flush=True,
    )


def memory(toml: Path) -> float:
    """The most memory that a process holds for itself after 100 batches, MiB."""
    script = (
        "import sys; sys.path.insert(0, 'benchmarks'); import cells, pathlib, resource\n"
        f"batches = cells.ours(pathlib.Path({str(toml)!r}), 'dense')\n"
        "for _ in range(100): next(batches)\n"
        "status = pathlib.Path('/proc/self/status').read_text().splitlines()\n"
        "print(next(line.split()[1] for line in status if line.startswith('RssAnon')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    return float(done.stdout) / 1024


def from_disk(toml: Path, *, asks: bool) -> float:
    """Pairs a second of sparse cells that the system does not keep in memory, in one thread."""
    path = toml.with_suffix(".h5ad")
    rows = open_rows(path, "X", None, path.parent, asks=asks)
    file = os.open(path, os.O_RDONLY)
    os.fdatasync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)
    assert isinstance(rows, CsrRows)
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    for _ in range(4):
        rows.read(rng.integers(len(rows.offsets) - 1, size=2 * SETS * CELLS))
    return 4 * SETS * CELLS / (time.perf_counter() - started)


def main() -> None:
    """Print rates, ratios and memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--peer", help="Python of an environment with cell-load")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--memory", action="store_true", help="measure memory too (20 GB of disk)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        toml = write(Path(folder), 20_000)
        for kind in ("sparse", "dense"):
            compare(toml, kind, args.peer, args.rounds)
    for count in (20_000, 200_000) if args.memory else ():
        with tempfile.TemporaryDirectory() as folder:
            toml = write(Path(folder), count)
            size = toml.with_suffix(".h5ad").stat().st_size
            print(
                f"{count:,} cells: {memory(toml):,.0f} MiB of memory, {size / count:,.0f} bytes of "
                f"disk a cell, from disk {from_disk(toml, asks=True):,.0f} pairs/s, and "
                f"{from_disk(toml, asks=False):,.0f} without asking ahead",
                flush=True,
            )


if __name__ == "__main__":
    main()
