"""What a cell costs `dm=perturbation` apart from its expression: bytes of memory, and seconds.

    python benchmarks/many_cells.py

Cells of 1,000 perturbations and 50 cell types are in one file, with two values of expression each,
so that what is measured is the table of cells, their groups and the plan of an epoch. A process of
its own opens them, and plans and gathers 200 batches of 16 sets of 128 cells. The slopes are the
differences between the two sizes, in units of a cell; seconds are those of the CPU.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import torch

from runwright import Runtime
from runwright.domains.perturbation.data_module import PerturbationDataModule

PERTURBATIONS: Final = 1_000
CELL_TYPES: Final = 50
GENES: Final = 50
VALUES: Final = 2
BATCHES: Final = 200


def write(folder: Path, count: int) -> Path:
    """Write `count` random cells in the layout of the anndata package; returns the TOML file."""
    rng = np.random.default_rng(0)
    with h5py.File(folder / "cells.h5ad", "w") as file:
        obs, var, x = (file.create_group(name) for name in ("obs", "var", "X"))
        for frame, names in ((obs, np.arange(count)), (var, np.arange(GENES))):
            frame.attrs["_index"] = "_index"
            frame["_index"] = names.astype("S12")
        kinds = {"gene": PERTURBATIONS, "cell_type": CELL_TYPES, "gem_group": 20}
        for name, number in kinds.items():
            obs[f"{name}/categories"] = [f"{name}{i:04}" for i in range(number)]
            obs[f"{name}/codes"] = rng.integers(number, size=count, dtype=np.int16)
        x.attrs.update({"encoding-type": "csr_matrix", "shape": (count, GENES)})
        x["data"] = np.ones(count * VALUES, dtype=np.float32)
        x["indices"] = np.tile(np.arange(VALUES, dtype=np.int32), count)
        x["indptr"] = np.arange(count + 1, dtype=np.int64) * VALUES
    toml = folder / "cells.toml"
    toml.write_text('[datasets]\ncells = "cells.h5ad"\n[training]\ncells = "train"\n')
    return toml


def memory(kind: str) -> int:
    """Bytes of this process: `RssAnon`, without what it maps of files, or `VmHWM`, the most."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in status if line.startswith(kind))) * 1024


def measure(toml: Path) -> dict[str, float]:
    """Open the cells, and plan and gather batches, in this process."""
    before = memory("RssAnon")
    most_before = memory("VmHWM")
    started = time.process_time()
    module = PerturbationDataModule(
        toml_config_path=toml, control_pert="gene0000", batch_size=16, cell_set_len=128
    )
    runtime = Runtime(device=torch.device("cpu"), seed=0, run_dir=toml.parent)
    split: Any = module.build(runtime).train
    opened = time.process_time()
    most = memory("VmHWM")
    order = split.order(0)
    planned = time.process_time()
    for number in range(BATCHES):
        split.gather(order[number * 16 : (number + 1) * 16], 0)
    return {
        "seconds to open": opened - started,
        "seconds to plan an epoch": planned - opened,
        "seconds a batch": (time.process_time() - planned) / BATCHES,
        "bytes while opening, at most": most - most_before,
        "bytes while training": memory("RssAnon") - before,
    }


def main() -> None:
    """Print what the two sizes cost, and the slopes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cells", type=int, nargs=2, default=[2_000_000, 20_000_000])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.measure is not None:
        print(json.dumps(measure(args.measure)))
        return
    found: list[dict[str, float]] = []
    for count in args.cells:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--measure", str(write(Path(folder), count))]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found.append(json.loads(done.stdout))
    few, many = args.cells
    for name, value in found[1].items():
        slope = (value - found[0][name]) / (many - few)
        print(f"{name}: {found[0][name]:,.3f} and {value:,.3f}; a cell {slope:.3g}", flush=True)


if __name__ == "__main__":
    main()
