"""The vectors of the perturbations: one-hot, or from a file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from domains.perturbation.cells import CONTROL, random_cells, write_project
from domains.perturbation.test_data_module import built
from runwright import UserError


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return write_project(tmp_path / "data", a=random_cells(seed=0), b=random_cells(seed=1))


def test_vectors_are_one_hot_in_the_order_of_the_names(tmp_path: Path, toml: Path) -> None:
    data = built(toml, tmp_path)
    assert data.dims.perturbation_names == ("A", "B", "C", CONTROL)
    for batch in data.train.batches(0):
        assert batch.perturbation.argmax(1).tolist() == batch.perturbation_index.tolist()
        assert batch.perturbation.sum(1).tolist() == [1.0] * len(batch)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_vectors_come_from_a_file(tmp_path: Path, toml: Path, suffix: str) -> None:
    vectors = {name: torch.randn(6) for name in ("A", "B", "C", "D")}
    path = tmp_path / f"vectors{suffix}"
    save_file(vectors, path) if suffix == ".safetensors" else torch.save(vectors, path)
    data = built(toml, tmp_path, perturbation_features_file=path)
    assert data.dims.perturbation_features == 6
    names = data.dims.perturbation_names
    for batch in data.train.batches(0):
        for vector, number in zip(batch.perturbation, batch.perturbation_index, strict=True):
            assert torch.equal(vector, vectors.get(names[number], torch.zeros(6)))


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        ({"A": torch.ones(2), "B": torch.ones(2)}, "1 of 4 perturbations have no vector in .*: C"),
        ({"A": torch.ones(2), "B": torch.ones(3)}, "must have one length"),
        ({"A": torch.ones(2, 2)}, "must have one length"),
        ({}, "must have a dictionary of tensors"),
        ({"A": 3}, "must have a dictionary of tensors"),
        ([torch.ones(2)], "must have a dictionary of tensors"),
        ({n: torch.full((2,), np.nan) for n in "ABC"}, "the vector of 'A' has values that are not"),
    ],
)
def test_vectors_that_will_not_do_are_refused(
    tmp_path: Path, toml: Path, vectors: Any, said: str
) -> None:
    torch.save(vectors, tmp_path / "v.pt")
    with pytest.raises(UserError, match=said):
        built(toml, tmp_path, perturbation_features_file=tmp_path / "v.pt")


def test_missing_vectors_can_be_allowed(
    tmp_path: Path, toml: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save({"A": torch.ones(2)}, tmp_path / "v.pt")
    file = tmp_path / "v.pt"
    built(toml, tmp_path, perturbation_features_file=file, allow_missing_features=True)
    assert "2 of 4 perturbations have no vector" in caplog.text
    assert "B, C. They get zeros." in caplog.text


def test_vectors_of_another_length_than_those_of_the_training_are_refused(
    tmp_path: Path, toml: Path
) -> None:
    file = tmp_path / "v.safetensors"
    save_file({name: torch.ones(6) for name in ("A", "B", "C")}, file)
    built(toml, tmp_path / "run", perturbation_features_file=file)
    cells = random_cells(seed=2)
    cells.obs["target_gene"] = cells.obs["target_gene"].cat.rename_categories({"C": "D"})
    new = write_project(tmp_path / "new", a=cells)
    save_file({name: torch.ones(7) for name in ("A", "B", "D")}, file)
    message = r"v.safetensors have 7 values; those of the training had 6. Name its file by dm.per"
    with pytest.raises(UserError, match=message):
        built(new, tmp_path / "run", trains=False, perturbation_features_file=file)
