"""Several processes share the sets of each batch, and train and measure what one does."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from domains.perturbation.cells import CONTROL, random_cells, write_project
from programs import run_python
from torchrun import finish, measures, start_copies

pytestmark = pytest.mark.slow

# Every process writes down the cells of the sets that it trains on.
SCRIPT = f"""
import json, os, sys
sys.path[:0] = {list(filter(None, sys.path))}
from runwright import app
from runwright.domains.perturbation.cell_sets import CellSetSplit

on_device = CellSetSplit.on_device
def noted(self, batch):
    if self.is_training:
        with open(os.environ.get("RANK", "one") + ".jsonl", "a") as file:
            print(json.dumps(batch.cell.tolist()), file=file)
    return on_device(self, batch)
CellSetSplit.on_device = noted
app.main(conf=None)
"""


def sets(name: str) -> list[list[list[int]]]:
    """The sets of each batch, as lists of cells."""
    return [json.loads(line) for line in Path(f"{name}.jsonl").read_text().splitlines()]


def measured(run_dir: str) -> list[dict[str, float]]:
    """What was measured of training and validation, row by row; without the times."""
    names = ("step", "train_", "val_", "zeroshot_")
    return [{k: v for k, v in row.items() if k.startswith(names)} for row in measures(run_dir)]


def results(run_dir: str) -> dict[str, float]:
    found: dict[str, Any] = json.loads(Path(run_dir, "test.json").read_text())
    return {name: value for name, value in found.items() if name.startswith("test_")}


@pytest.mark.parametrize("mapping", ["random", "batch"])
def test_two_processes_share_the_sets_and_measure_what_one_does(
    tmp_path: Path, mapping: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    toml = write_project(
        tmp_path / "data",
        '[zeroshot]\n"b.U" = "val"\n[fewshot."a.U"]\nval = ["A"]\ntest = ["B", "C"]',
        a=random_cells(seed=0, per_group=30),
        b=random_cells(seed=1, per_group=17),
    )
    options = (
        *("dm=perturbation", f"dm.toml_config_path={toml}", f"dm.control_pert={CONTROL}"),
        *("dm.pert_col=target_gene", "dm.batch_col=batch_var", "dm.batch_size=4"),
        *(f"dm.basal_mapping_strategy={mapping}", "model=state_sm", "model.cell_set_len=8"),
        *("model.hidden_dim=16", "model.backbone.head_dim=2", "model.backbone.num_hidden_layers=2"),
        # Dropout, which is between layers only, is drawn in each process.
        *("model.n_encoder_layers=1", "model.n_decoder_layers=1", "gpu=-1", "draw_every=2"),
        *("opt.lr=0.003", "training.max_steps=12", "training.val_every=6", "then=[test]"),
    )
    script = Path("main.py")
    script.write_text(SCRIPT)
    finish(start_copies("hydra.run.dir=two", options=options, script=script))
    alone = run_python(script, *options, "hydra.run.dir=one", env=dict(os.environ))
    assert alone.returncode == 0, alone.stderr

    drawn = {run: {path.name for path in Path(run, "pictures").iterdir()} for run in ("one", "two")}
    assert drawn["one"] == drawn["two"] >= {"step-00000012", "cells_val.png"}
    for run in ("one", "two"):
        assert Path(run, "pictures", "step-00000012", "cells_zeroshot.png").exists()
    whole, first, second = sets("one"), sets("0"), sets("1")
    assert len(whole) == 12
    assert [a + b for a, b in zip(first, second, strict=True)] == whole
    for a, b in zip(first, second, strict=True):
        assert len(a) == len(b) == 2
        assert not [one for one in a if one in b]
    one, two = (measured(run_dir) for run_dir in ("one", "two"))
    assert {"val_pearson_delta", "zeroshot_pearson_delta", "zeroshot_loss"} <= one[-1].keys()
    assert one == [pytest.approx(row, rel=1e-4, abs=1e-5) for row in two]
    assert results("one") == pytest.approx(results("two"), rel=1e-4, abs=1e-5)
