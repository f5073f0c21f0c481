"""Killed runs of the domain resume to the byte."""

import os
import sys
from pathlib import Path

import pytest
import torch

from domains.perturbation.cells import CONTROL, random_cells, write_project
from programs import run_python
from runwright.rundir.tensor_files import read_tensors

pytestmark = pytest.mark.slow

ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.fixture
def options(tmp_path: Path) -> tuple[str, ...]:
    cells = random_cells(seed=0, cell_types=("T", "U"), per_group=20)
    toml = write_project(tmp_path / "data", '[fewshot."a.U"]\nval = ["A"]', a=cells)
    return (
        *("dm=perturbation", f"dm.toml_config_path={toml}", f"dm.control_pert={CONTROL}"),
        *("dm.pert_col=target_gene", "dm.batch_col=batch_var", "dm.batch_size=4"),
        *("model=state_xs", "model.cell_set_len=8", "model.hidden_dim=16", "gpu=-1"),
        *("model.backbone.head_dim=2", "opt.lr=0.001", "pictures=false"),
    )


def test_a_killed_run_resumes_to_the_byte(tmp_path: Path, options: tuple[str, ...]) -> None:
    program = "from training.resume import kill_points; kill_points.main()"
    arguments = (*options, "training.max_steps=40", "checkpoint.save_every=1", "dm.num_workers=2")
    run_python("-c", program, tmp_path / "runs", "1", "2", *arguments, env=ENVIRONMENT, check=True)
    files = sorted((tmp_path / "runs").glob("*/checkpoints/last.safetensors"))
    assert len(files) >= 2
    weights = [read_tensors(path)[0] for path in files]
    assert all(torch.equal(one[name], weights[0][name]) for one in weights for name in one)
