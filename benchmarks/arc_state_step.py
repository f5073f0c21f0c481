"""Training steps of the original STATE, for `set_transformer.py`.

It is run by a Python that has arc-state. It builds `state_sm` by its own configuration; for each
line that it reads it trains a step on random cells of the sizes of that benchmark, and prints the
seconds of CPU time that it took.
"""

# pyright: reportMissingImports=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import contextlib
import logging
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any, Final

import torch

SETS: Final = 16
CELLS: Final = 128
GENES: Final = 2000
VECTOR: Final = 5120


def network() -> Any:
    """The original `state_sm`, which says a lot when it is built."""
    import state
    from omegaconf import OmegaConf
    from state.tx.models.state_transition import StateTransitionPerturbationModel

    file = Path(str(state.__file__)).parent / "configs" / "model" / "state_sm.yaml"
    config = OmegaConf.create({"model": OmegaConf.load(file)})
    options: Any = OmegaConf.to_container(config, resolve=True)
    return StateTransitionPerturbationModel(
        input_dim=GENES,
        output_dim=GENES,
        pert_dim=VECTOR,
        gene_dim=GENES,
        hvg_dim=GENES,
        gene_names=None,
        batch_dim=1,
        output_space="gene",
        embed_key="X_hvg",
        **options["model"]["kwargs"],
    )


def unlogged(*_: object, **__: object) -> None:
    """Log nothing."""


def main() -> None:
    """Train a step for each line."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        model = network()
    model.log = unlogged  # there is no trainer
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    perturbation = torch.randn(SETS, VECTOR).repeat_interleave(CELLS, dim=0)
    batch = {
        "ctrl_cell_emb": torch.rand(SETS * CELLS, GENES),
        "pert_cell_emb": torch.rand(SETS * CELLS, GENES),
        "pert_emb": perturbation,
        "batch": torch.zeros(SETS * CELLS, dtype=torch.int64),
    }
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        model.training_step(batch, 0).backward()
        optimizer.step()
        optimizer.zero_grad()
        print(time.process_time() - start, flush=True)


if __name__ == "__main__":
    main()
