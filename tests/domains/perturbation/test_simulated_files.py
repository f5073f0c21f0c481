"""The files of simulated cells: what is in them, and what they never replace."""

import importlib.util
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import anndata
import attrs
import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file

from runwright import UserError
from runwright.__main__ import main
from runwright.domains.perturbation import simulated_files
from runwright.domains.perturbation.simulated_files import write_simulation
from runwright.domains.perturbation.simulation import Simulation

SMALL = Simulation(
    cell_types=4,
    few_shot=1,
    zero_shot=2,
    perturbations=8,
    cells=7,
    controls=11,
    genes=60,
    variable_genes=20,
)
COMMAND = [
    *("simulate", "perturbation", "--cell-types", "4", "--few-shot", "1", "--zero-shot", "2"),
    *("--perturbations", "8", "--cells", "7"),
    *("--controls", "11", "--genes", "60", "--variable-genes", "20"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_simulation(tmp_path_factory.mktemp("data"), SMALL)


def cells_in(folder: Path) -> list[Any]:
    return [anndata.read_h5ad(path) for path in sorted((folder / "cells").iterdir())]


def numbers(folder: Path) -> dict[str, Any]:
    """Every array of every file."""
    found: dict[str, Any] = dict(load_file(folder / "features.safetensors"))
    found |= dict(np.load(folder / "truth.npz"))
    for path in (folder / "cells").iterdir():
        with h5py.File(path) as file:

            def add(name: str, item: Any, path: Path = path) -> None:
                if isinstance(item, h5py.Dataset):
                    found[f"{path.name}/{name}"] = item[()]

            file.visititems(add)
    return found


def test_each_cell_type_has_a_file_of_counts_and_log_normalised_expression(folder: Path) -> None:
    cells = cells_in(folder)
    assert [one.shape for one in cells] == [(8 * 7 + 11, 60)] * 4
    for number, one in enumerate(cells):
        assert one.X.format == one.layers["counts"].format == "csr"
        counts = one.layers["counts"].toarray()
        expected = np.log1p(10_000 * counts / counts.sum(axis=1, keepdims=True))
        np.testing.assert_allclose(one.X.toarray(), expected, rtol=1e-5)
        assert set(one.obs.dtypes.astype(str)) == {"category"}
        assert set(one.obs["cell_type"]) == {f"type_{number + 1}"}
        assert dict(one.obs["target_gene"].value_counts())["non-targeting"] == 11
        assert set(one.obs["target_gene"].value_counts()) == {7, 11}
        assert set(one.obs["batch_var"]) == {"batch_1", "batch_2", "batch_3"}
        is_variable = one.var["highly_variable"].to_numpy()
        assert is_variable.sum() == 20
        np.testing.assert_array_equal(is_variable, cells[0].var["highly_variable"])
        np.testing.assert_array_equal(one.obsm["X_hvg"], one.X[:, is_variable].toarray())
        assert one.obsm["X_pca"].shape == (67, 20)


def test_principal_components_are_uncorrelated_in_the_cells_of_the_training(folder: Path) -> None:
    trained = cells_in(folder)[0].obsm["X_pca"]  # the only cell type of which all is trained on
    covariance = np.cov(trained.T, bias=True)
    variance = covariance.diagonal()
    assert np.abs(covariance - np.diag(variance)).max() < 1e-4 * variance[0]
    assert (np.diff(variance) < 1e-6).all()


def test_what_is_held_out_features_and_truth_have_the_names_of_the_files(folder: Path) -> None:
    cells = cells_in(folder)
    perturbations = set(cells[0].obs["target_gene"])
    plan = tomllib.loads((folder / "perturbation.toml").read_text())
    assert plan["datasets"] == {"simulated": "cells"}
    assert plan["training"] == {"simulated": "train"}
    assert plan["zeroshot"] == {"simulated.type_3": "val", "simulated.type_4": "test"}
    held_out = plan["fewshot"]["simulated.type_2"]
    assert {*held_out["val"], *held_out["test"]} < perturbations - {"non-targeting"}
    features = load_file(folder / "features.safetensors")
    assert features.keys() == perturbations
    assert {vector.shape for vector in features.values()} == {(24,)}
    truth = np.load(folder / "truth.npz")
    assert truth["mean"].shape == (4, 9, 60)
    assert truth["perturbations"][0] == "non-targeting"
    assert set(truth["perturbations"]) == perturbations
    assert truth["genes"].tolist() == cells[0].var_names.tolist()
    # The true means are those of the cells: nearer to their own cell type than to another.
    mean = np.stack([one.X.toarray().mean(axis=0) for one in cells])
    distance = np.abs(mean[:, None] - truth["mean"].mean(axis=1)).mean(axis=2)
    assert distance.argmin(axis=1).tolist() == [0, 1, 2, 3]


def test_the_same_options_write_the_same_numbers_also_compressed(
    folder: Path, tmp_path: Path
) -> None:
    again = write_simulation(tmp_path, SMALL, compression="gzip")
    one, other = numbers(folder), numbers(again)
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)
    for where, compression in ((folder, None), (again, "gzip")):
        with h5py.File(where / "cells" / "type_1.h5ad") as file:
            data: Any = file["X/data"]
            assert data.compression == compression


def test_another_seed_writes_other_numbers(folder: Path, tmp_path: Path) -> None:
    other = numbers(write_simulation(tmp_path, attrs.evolve(SMALL, seed=1)))
    one = numbers(folder)
    assert not np.array_equal(one["mean"], other["mean"])
    assert not np.array_equal(one["type_1.h5ad/X/data"], other["type_1.h5ad/X/data"])


def test_the_command_says_how_to_go_on_and_does_nothing_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "new" / "data"
    assert main([*COMMAND, "--root", str(root)]) == 0
    said = capsys.readouterr().out
    assert "268 simulated cells" in said
    assert f"dm.toml_config_path={root}/perturbation/perturbation.toml" in said
    assert f"dm.perturbation_features_file={root}/perturbation/features.safetensors" in said
    folder = root / "perturbation"
    assert "no such cell types, genes" in (folder / "SIMULATED.txt").read_text()
    assert [path.name for path in root.iterdir()] == ["perturbation"]
    before = folder.stat().st_mtime_ns
    assert main([*COMMAND, "--root", str(root)]) == 0
    assert folder.stat().st_mtime_ns == before
    assert main([*COMMAND, "--root", str(root), "--seed", "1"]) == 2
    said = capsys.readouterr().err
    assert "it holds cells that were simulated with other options. Nothing was written." in said
    assert folder.stat().st_mtime_ns == before


def test_what_something_else_wrote_is_never_replaced(tmp_path: Path) -> None:
    real = tmp_path / "perturbation" / "screen.h5ad"
    real.parent.mkdir()
    real.write_bytes(b"real")
    with pytest.raises(UserError, match=r"is not empty: it holds screen\.h5ad\. Nothing was writ"):
        write_simulation(tmp_path, SMALL)
    assert [path.name for path in real.parent.iterdir()] == ["screen.h5ad"]


def test_a_root_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written to .*file"):
        write_simulation(tmp_path / "file", SMALL)


def test_an_interrupted_simulation_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(simulated_files, "plan_text", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_simulation(tmp_path, SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_killed_simulation_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "runwright", *COMMAND, "--root", str(tmp_path)]
    process = subprocess.Popen([*command, "--cells", "400"])
    while not any(tmp_path.rglob("*.h5ad")):
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "perturbation").exists()
    assert main([*COMMAND, "--root", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--cell-types", "3"], "must be ≥ 4, got 3"),
        (["--inactive", "1.5"], "must be ≥ 0, ≤ 1, got 1.5"),
        (["--seed", "-1"], "must be ≥ 0, got -1"),
        (["--genes", "many"], "invalid integer value: 'many'"),
    ],
)
def test_bounds_of_the_options(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "perturbation", *arguments])
    assert ended.value.code == 2
    assert text in capsys.readouterr().err


def test_without_anndata_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec

    def without_anndata(name: str) -> Any:
        return None if name == "anndata" else find(name)

    monkeypatch.setattr(importlib.util, "find_spec", without_anndata)
    assert main([*COMMAND, "--root", str(tmp_path)]) != 0
    said = capsys.readouterr().err
    assert "simulate perturbation needs the module anndata" in said
    assert "pip install runwright[perturbation]" in said
    assert list(tmp_path.iterdir()) == []
