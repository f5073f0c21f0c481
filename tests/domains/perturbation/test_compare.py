"""The stage that measures a model beside the baselines, and predictions of several splits."""

import json
from pathlib import Path

import anndata
import pytest

from domains.perturbation.cells import CONTROL, random_cells, write_project
from runwright import UserError, compose
from runwright.rundir.emptying import empty

HELD_OUT = '[zeroshot]\n"a.U" = "val"\n[fewshot."a.T"]\nval = ["A"]\n'


@pytest.fixture
def run(tmp_path: Path) -> list[str]:
    """The options of a run that has finished."""
    toml = write_project(tmp_path / "data", HELD_OUT, a=random_cells(seed=0, per_group=8))
    columns = ["dm.pert_col=target_gene", "dm.batch_col=batch_var", f"dm.control_pert={CONTROL}"]
    sets = ["dm.cell_set_len=4", "dm.batch_size=2", f"dm.toml_config_path={toml}"]
    chosen = ["dm=perturbation", "model=pert_ridge", "gpu=-1", *columns, *sets]
    compose([*chosen, "training.epochs=1"]).run(tmp_path / "run")
    return [*chosen, f"checkpoint.load={tmp_path / 'run'}"]


def test_the_validation_is_few_shot_and_zero_shot(run: list[str], tmp_path: Path) -> None:
    compose([*run, "stage=compare", "stage.split=val"]).run(tmp_path / "compared")
    compared = json.loads((tmp_path / "compared" / "compare_val.json").read_text())
    assert list(compared) == ["fewshot", "zeroshot"]
    compose([*run, "stage=validate"]).run(tmp_path / "measured")
    measured = json.loads((tmp_path / "measured" / "validate.json").read_text())
    for split, part in (("val", "fewshot"), ("zeroshot", "zeroshot")):
        means = {name: of["mse"]["mean"] for name, of in compared[part].items()}
        assert list(means) == ["pert_ridge", "perturb_mean", "context_mean"]
        assert means["pert_ridge"] == pytest.approx(measured[f"{split}_mse"], rel=1e-6)


def test_a_model_is_told_by_the_name_of_the_file_that_it_was_chosen_by(
    run: list[str], tmp_path: Path
) -> None:
    options = [one for one in run if not one.startswith(("model=", "checkpoint.load="))]
    options += ["model=state_xs", "dm.cell_set_len=4", "training.max_steps=1"]
    options = list(dict.fromkeys(options))
    trained = tmp_path / "named"
    compose([*options, "then=[compare]"]).run(trained)
    compose(["stage=compare", f"checkpoint.load={trained}", "gpu=-1"]).run(tmp_path / "later")
    for folder in (trained, tmp_path / "later"):
        compared = json.loads((folder / "compare_val.json").read_text())["fewshot"]
        assert list(compared) == ["state_xs", "perturb_mean", "context_mean", "pert_ridge"]


def test_baselines_decode_no_genes_which_is_told_before_the_training(
    run: list[str], tmp_path: Path
) -> None:
    options = [one for one in run if not one.startswith(("model=", "checkpoint.load="))]
    more = ["model=state_xs", "dm.embed_key=X_pca", "training.max_steps=1", "then=[compare]"]
    with pytest.raises(UserError, match=r"stage=compare .* Leave it out of `then`, or"):
        compose([*options, *more]).run(tmp_path / "decoded")
    assert not (tmp_path / "decoded" / "checkpoints" / "last.safetensors").exists()


def test_every_validation_split_is_predicted(run: list[str], tmp_path: Path) -> None:
    compose([*run, "stage=predict", "stage.split=val"]).run(tmp_path)
    for split, cell_type, perturbed in (("val", "T", {"A"}), ("zeroshot", "U", {"A", "B", "C"})):
        for kind in ("pred", "real"):
            cells = anndata.read_h5ad(tmp_path / f"adata_{kind}_{split}.h5ad")
            assert set(cells.obs["cell_type"]) == {cell_type}
            assert set(cells.obs["target_gene"]) == {*perturbed, CONTROL}


def test_what_stages_write_is_known_as_a_run_s(run: list[str], tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    for stage in ("compare", "predict", "validate", "infer"):
        more = [f"stage.file={tmp_path / 'data' / 'a.h5ad'}"] if stage == "infer" else []
        compose([*run, f"stage={stage}", *more]).run(run_dir)
    written = {"compare_val.csv", "effects_val.csv", "adata_pred_zeroshot.h5ad", "inferred.h5ad"}
    assert written <= {path.name for path in run_dir.iterdir()}
    (run_dir / "compare.csv").touch()
    assert empty(run_dir) == ["compare.csv"]
