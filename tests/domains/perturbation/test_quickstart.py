"""The main job, small: simulate, train, test, compare with the baselines, predict."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import anndata
import pytest

from conftest import Run
from programs import run_python

pytestmark = pytest.mark.slow

SMALL = (
    *("+experiment=perturbation/quickstart", "gpu=-1", "training.max_steps=30"),
    *("training.val_every=30", "machine.data_path=data"),
)
SIMULATION = (
    *("--cell-types", "4", "--few-shot", "1", "--zero-shot", "2"),
    *("--perturbations", "8", "--cells", "12", "--controls", "40"),
)


@pytest.fixture
def simulated(run_main: Run, tmp_path: Path) -> Path:
    small = (*SIMULATION, "--genes", "60", "--variable-genes", "40")
    command = ("-m", "runwright", "simulate", "perturbation", "--root", "data", *small)
    done = run_python(*command, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    return tmp_path


def is_a_comparison(run: Path, lines: list[str]) -> None:
    """Whether the files say what is printed, and what must be true of it is."""
    names = ["state_xs", "perturb_mean", "context_mean", "pert_ridge", "oracle"]
    recorded = json.loads((run / "compare_test.json").read_text())
    assert list(recorded) == ["fewshot", "zeroshot"]
    with (run / "compare_test.csv").open() as file:
        written = list(csv.DictReader(file))
    for part, said in recorded.items():
        shown = part.replace("shot", "-shot")
        start = lines.index(f"Predicted effects on the test split, {shown} (1 cell type):")
        rows = [line.split() for line in lines[start + 1 : start + 7]]
        assert rows[0][0] == "pearson_delta"
        assert [row[0] for row in rows[1:]] == names
        assert list(said) == names
        scores = {name: said[name]["pearson_delta"]["mean"] for name in said}
        assert scores["oracle"] == max(scores.values())
        low, mean, high = (said["pert_ridge"]["mse"][bound] for bound in ("low", "mean", "high"))
        assert low <= mean <= high
        mine = [row for row in written if row["held_out"] == part]
        assert [float(row["mse"]) for row in mine] == [said[name]["mse"]["mean"] for name in names]


def test_a_model_is_trained_and_measured_beside_the_baselines(
    run_main: Run, simulated: Path
) -> None:
    done = run_main(*SMALL, "hydra.run.dir=run", timeout=300)
    assert done.returncode == 0, done.stderr
    run = simulated / "run"
    is_a_comparison(run, done.stdout.splitlines())
    effects = (run / "effects_test.csv").read_text().splitlines()
    assert effects[0].startswith("cell_type,perturbation,pearson_delta")
    pictures = {path.name for path in (run / "pictures").iterdir()}
    assert {
        "compare_test_fewshot.png",
        "compare_test_zeroshot.png",
        "effects_test.png",
        "effects_val.png",
    } <= pictures

    done = run_main(
        "stage=predict", "checkpoint.load=run", "gpu=-1", "hydra.run.dir=predicted", timeout=120
    )
    assert done.returncode == 0, done.stderr
    real, predicted = (
        anndata.read_h5ad(simulated / "predicted" / f"adata_{kind}_test.h5ad")
        for kind in ("real", "pred")
    )
    assert real.obs.equals(predicted.obs)
    assert {"target_gene", "cell_type", "batch_var"} <= set(real.obs)
    assert "non-targeting" in set(real.obs["target_gene"])
    of_cells = {name.rpartition("_")[0] for name in real.obs_names}
    assert of_cells == {"type_2", "type_4"}

    cells = anndata.read_h5ad(simulated / "data" / "perturbation" / "cells" / "type_4.h5ad")
    new: Any = cells[::2].copy()
    new.obs["batch_var"] = "a new batch"
    new.obs["cell_type"] = "a new type"
    new.write_h5ad(simulated / "new.h5ad")
    # Nothing but the run directory is needed.
    (simulated / "data").rename(simulated / "elsewhere")
    inferring = ("stage=infer", "stage.file=new.h5ad", "checkpoint.load=run", "gpu=-1")
    for number in (1, 2):
        done = run_main(*inferring, f"hydra.run.dir=inferred{number}", timeout=120)
        assert done.returncode == 0, done.stderr
    written: list[Any] = [
        anndata.read_h5ad(simulated / f"inferred{number}" / "inferred.h5ad") for number in (1, 2)
    ]
    inferred, again = written
    assert set(inferred.obs_names) == set(new.obs_names)
    of_new = new.obs.loc[inferred.obs_names]
    assert list(inferred.obs["target_gene"]) == list(of_new["target_gene"])
    assert set(inferred.obs["cell_type"]) == {"a new type"}
    assert (inferred.X != again.X).nnz == 0  # the controls are drawn by a seed

    (simulated / "elsewhere").rename(simulated / "data")
    intervals = ("stage.num_bootstrap_runs=50", "hydra.run.dir=tested")
    done = run_main("stage=test", "checkpoint.load=run", "gpu=-1", *intervals, timeout=120)
    assert done.returncode == 0, done.stderr
    record = json.loads((simulated / "tested" / "test.json").read_text())
    before = json.loads((run / "test.json").read_text())
    for name in ("test_pearson_delta", "test_discrimination_l1"):
        assert math.isclose(record[name], before[name], rel_tol=1e-5)
        assert record["intervals"][name]["low"] <= record["intervals"][name]["high"]


def test_a_perturbation_that_is_not_known_is_refused(run_main: Run, simulated: Path) -> None:
    trained = run_main(*SMALL[:2], "training.max_steps=2", "then=[]", "hydra.run.dir=run")
    assert trained.returncode == 0, trained.stderr
    cells = anndata.read_h5ad(simulated / "data" / "perturbation" / "cells" / "type_4.h5ad")
    names = set(cells.obs["target_gene"]) - {"non-targeting"}
    new_names = {name: f"{name}x" for name in names}
    cells.obs["target_gene"] = cells.obs["target_gene"].cat.rename_categories(new_names)
    cells.write_h5ad(simulated / "new.h5ad")
    done = run_main("stage=infer", "stage.file=new.h5ad", "checkpoint.load=run", "gpu=-1")
    assert done.returncode == 2
    assert "perturbations have no vector in" in done.stderr


def test_a_baseline_is_a_model_like_any_other(run_main: Run, simulated: Path) -> None:
    baseline = ("model=pert_ridge", "training.max_steps=null", "training.epochs=1", "then=[test]")
    done = run_main(*SMALL[:2], *baseline, "training.val_every=1.0", timeout=120)
    assert done.returncode == 0, done.stderr
    assert "test_pearson_delta" in done.stdout
