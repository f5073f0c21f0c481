"""Runs that the original made, loaded as a user loads them: the same cells are predicted.

The original is not a dependency, and its licence is not ours: it is run where ARC_STATE_PYTHON
names a Python that has the package arc-state. Its blocks of GPT-2 need transformers before 5 there.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from conftest import REPOSITORY, Run
from domains.perturbation.arc_state_run import CELLS, WIDTH
from runwright import Data, Runtime, compose
from runwright.config import Config
from runwright.domains.perturbation.simulated_files import write_simulation
from runwright.domains.perturbation.simulation import Simulation
from runwright.domains.perturbation.state_network import StateNetwork
from runwright.training.finetune.start import Start

PYTHON = os.environ.get("ARC_STATE_PYTHON")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PYTHON is None, reason="ARC_STATE_PYTHON names no Python with arc-state"),
]
OPTIONS = {
    "llama": [
        *("+experiment=perturbation/from_state", "model.backbone.num_hidden_layers=2"),
        *("model.backbone.num_attention_heads=4", "model.backbone.num_key_value_heads=4"),
        *("model.backbone.head_dim=6", "model.backbone.intermediate_size=32"),
    ],
    "gpt2": [
        *("+experiment=perturbation/from_state_gpt2", "model.backbone.n_layer=2"),
        "model.backbone.n_head=4",
        # A decoder of genes, which no data like these train.
        "finetune.drop=[transformer_backbone.wte,transformer_backbone.wpe,gene_decoder]",
    ],
}
DATA = [
    *("dm.toml_config_path=perturbation/perturbation.toml", "dm.output_space=gene"),
    *("dm.pert_col=target_gene", "dm.batch_col=batch_var", "dm.control_pert=non-targeting"),
    *("gpu=-1", f"model.cell_set_len={CELLS}", f"model.hidden_dim={WIDTH}"),
]
SMALL = Simulation(
    cell_types=4,
    few_shot=1,
    zero_shot=2,
    perturbations=6,
    cells=20,
    controls=40,
    genes=60,
    variable_genes=20,
)


def made_by_the_original(backbone: str, data: Data[Any, Any], folder: Path) -> dict[str, Any]:
    """Its outputs for our first batch, and its vectors of the perturbations."""
    assert PYTHON is not None
    batch = next(iter(data.train.batches(epoch=0)))
    given = {"basal": batch.basal, "perturbation": batch.perturbation}
    torch.save(given, folder / "batch.pt")
    text = (folder / "perturbation" / "perturbation.toml").read_text()
    plan = folder / "plan.toml"  # in which the original takes no relative path
    plan.write_text(text.replace('"cells"', f'"{folder / "perturbation" / "cells"}"'))
    script = Path(__file__).with_name("arc_state_run.py")
    command = [PYTHON, script, backbone, plan, folder / "batch.pt", folder]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if "'GPT2Attention' object has no attribute 'bias'" in done.stderr:
        pytest.skip("arc-state cannot build blocks of GPT-2 with transformers 5")
    assert done.returncode == 0, done.stderr
    return torch.load(folder / f"{backbone}.pt", weights_only=True) | given


def loaded(config: Config, data: Data[Any, Any]) -> StateNetwork:
    """The model of a configuration, with the weights that it starts from."""
    model: Any = config.model.build(data.dims)
    start = Start(model, config.finetune)
    assert start.problems == []
    start.load()
    return model.eval()


@pytest.mark.parametrize("backbone", OPTIONS)
def test_a_run_of_the_original_predicts_the_same_here(
    backbone: str, run_main: Run, tmp_path: Path
) -> None:
    write_simulation(tmp_path, SMALL)
    weights = tmp_path / backbone / "checkpoints" / "last.ckpt"
    overrides = [*OPTIONS[backbone], *DATA, f"finetune.checkpoint={weights}"]
    config = compose(overrides, conf=REPOSITORY / "conf")
    data = config.dm.build(Runtime(device=torch.device("cpu"), seed=0, run_dir=tmp_path / "ours"))
    original = made_by_the_original(backbone, data, tmp_path)
    names = data.dims.perturbation_names
    mine = dict(zip(names, torch.eye(len(names)), strict=True))
    assert mine.keys() == original["vectors"].keys()
    for name, vector in original["vectors"].items():  # the same number stands for the same
        assert torch.equal(vector, mine[name])
    model = loaded(config, data)

    def predict(cells: int) -> Tensor:
        with torch.no_grad():
            return model(original["basal"][:, :cells], original["perturbation"]).cells

    outputs = original["outputs"]
    same = {"one cell": predict(1), "seeing all": predict(CELLS)}
    if backbone == "llama":
        same["as it is"] = predict(CELLS)
    else:  # its cells see only those before them, however it is configured
        assert (outputs["as it is"] - predict(CELLS)).abs().max() > 1e-3
    for name, expected in outputs.items():
        if name in same:
            torch.testing.assert_close(same[name], expected, rtol=1e-5, atol=1e-5)
    done = run_main(*overrides, "training.max_steps=1", "pictures=false", timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"finetune.checkpoint={weights}: " in done.stdout
