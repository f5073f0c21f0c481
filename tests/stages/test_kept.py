"""Later stages read new data with what the training has kept: here a vocabulary."""

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import runwright
from runwright import (
    Data,
    InMemory,
    NoExamples,
    Runtime,
    Stage,
    Trained,
    UserError,
    compose,
    factory,
    option,
)
from token_domain import TokenBatch, TokenDims, TokenLosses, ToyTokens, WeightedSum


def tokens(file: Path, runtime: Runtime, *, may_make: bool = True) -> TokenBatch:
    """Lines of six names of genes, as their numbers in the training's vocabulary."""
    lines = [line.split() for line in file.read_text().splitlines()]

    def make() -> list[str]:
        return sorted({name for line in lines for name in line})

    known: list[str] = runtime.kept("vocabulary", make if may_make else None)
    genes = torch.tensor([[known.index(name) for name in line] for line in lines])
    return TokenBatch(genes=genes, levels=genes % 4).to(runtime.device)


@factory("named_genes")
class NamedGenes(ToyTokens):
    """Genes by their names, from a text file."""

    default_objective = "numbering"
    file: Path = option(doc="the file")

    def without_examples(self, runtime: Runtime) -> Data[TokenDims, TokenBatch]:
        tensors = runtime.kept_tensors("first")
        assert tensors["cell"].tolist() == [0, 1, 2, 3, 4, 5]
        return Data(dims=self.expected_dims(), train=NoExamples[TokenBatch]())

    def build(self, runtime: Runtime) -> Data[TokenDims, TokenBatch]:
        cells = tokens(self.file, runtime)
        runtime.kept_tensors("first", lambda: {"cell": cells.genes[0]})
        train = InMemory(cells, batch_size=4, shuffle_seed=runtime.seed)
        val = InMemory(cells, batch_size=4, shuffle_seed=None)
        return Data(dims=self.expected_dims(), train=train, val=val)


@factory("numbering")
class NumberingFactory(TokenLosses):
    """The losses of tokens; what is predicted of a cell is the number of its first gene."""

    def build(self, dims: TokenDims, device: torch.device) -> "Numbering":
        return Numbering(self.losses)


class Numbering(WeightedSum):
    def predict(self, model: nn.Module, batch: TokenBatch) -> dict[str, NDArray[Any]]:
        return {"first": batch.genes[:, 0].cpu().numpy()}


@factory("number_genes")
class NumberGenes(Stage):
    """The sum of the numbers of the first genes in a file."""

    needs_data = False
    file: Path = option(doc="the file")

    def run(self, trained: Trained[Any]) -> float:
        return float(tokens(self.file, trained.runtime, may_make=False).genes[:, 0].sum())


def write(path: Path, numbers: range) -> Path:
    """Eight cells with these genes."""
    names = [f"G{number:02}" for number in numbers]
    cells = ([names[(row + place) % len(names)] for place in range(6)] for row in range(8))
    path.write_text("\n".join(map(" ".join, cells)))
    return path


GIVEN = ["model=token_model", "gpu=-1", "pictures=false"]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    file = write(tmp_path / "training.txt", range(12))
    given = [*GIVEN, "dm=named_genes", f"dm.file={file}", "training.max_steps=4"]
    compose(given).run(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """Some of the genes: by themselves they would have other numbers."""
    return write(tmp_path / "new.txt", range(5, 12))


def predicted(folder: Path) -> list[int]:
    with (folder / "predictions_val.csv").open(newline="") as file:
        return [int(row["first"]) for row in csv.DictReader(file)]


NUMBERS = [5, 6, 7, 8, 9, 10, 11, 5]


def test_new_data_are_predicted_with_the_vocabulary_of_the_training(
    run_dir: Path, new: Path, tmp_path: Path
) -> None:
    given = ["stage=predict", f"checkpoint.load={run_dir}", f"dm.file={new}"]
    compose([*given, "checkpoint.allow_changes=true"]).run(tmp_path / "predicted")
    assert predicted(tmp_path / "predicted") == NUMBERS
    assert not (tmp_path / "predicted" / "kept").exists()


def test_a_stage_of_ones_own_reads_a_file_with_that_vocabulary(
    run_dir: Path, new: Path, tmp_path: Path
) -> None:
    given = ["stage=number_genes", f"checkpoint.load={run_dir}", f"stage.file={new}"]
    assert compose(given).run(tmp_path / "numbered") == sum(NUMBERS)


def test_a_stage_that_needs_no_data_of_the_training_runs_without_them(
    run_dir: Path, new: Path, tmp_path: Path
) -> None:
    (tmp_path / "training.txt").unlink()
    given = ["stage=number_genes", f"checkpoint.load={run_dir}", f"stage.file={new}"]
    assert compose(given).run(tmp_path / "numbered") == sum(NUMBERS)
    (run_dir / "kept" / "first.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"first\.safetensors is not as the training wrote it"):
        compose(given).run(tmp_path / "again")
    (run_dir / "kept" / "first.safetensors").unlink()
    with pytest.raises(
        UserError, match=r"first\.safetensors is not there\. A training keeps in it"
    ):
        compose(given).run(tmp_path / "again")


def test_a_loaded_run_reads_new_data_with_that_vocabulary(run_dir: Path, new: Path) -> None:
    loaded = runwright.load(run_dir, [f"dm.file={new}"])
    split = loaded.data.val
    assert isinstance(split, InMemory)
    assert split.examples.genes[:, 0].tolist() == NUMBERS
    shutil.rmtree(run_dir / "kept")
    with pytest.raises(UserError, match="vocabulary.json is not there. A training keeps in it"):
        runwright.load(run_dir, [f"dm.file={new}"])


def test_a_training_that_starts_from_weights_keeps_their_vocabulary(
    run_dir: Path, new: Path, tmp_path: Path
) -> None:
    given = [*GIVEN, "dm=named_genes", f"dm.file={new}", f"checkpoint.load={run_dir}"]
    compose([*given, "training.max_steps=2"]).run(tmp_path / "further")
    first, further = (
        json.loads((folder / "kept" / "vocabulary.json").read_text())
        for folder in (run_dir, tmp_path / "further")
    )
    assert first == further
    assert len(first) == 12


def test_finetuning_says_where_the_vocabulary_of_the_weights_is_another(
    run_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = write(tmp_path / "other.txt", range(20, 32))
    for file in (other, tmp_path / "training.txt"):
        given = [*GIVEN, "dm=named_genes", f"dm.file={file}", f"finetune.checkpoint={run_dir}"]
        caplog.clear()
        compose([*given, "training.max_steps=2"]).run(tmp_path / file.stem)
        said = "kept/vocabulary.json of these weights differs from that of this run"
        assert (said in caplog.text) == (file == other)


def test_weights_that_were_moved_bring_their_vocabulary(
    run_dir: Path, new: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(run_dir / "checkpoints" / "best.safetensors", alone)
    given = [*GIVEN, "dm=named_genes", f"dm.file={new}", "stage=predict"]
    given += [f"checkpoint.load={alone / 'best.safetensors'}"]
    with pytest.raises(UserError, match="copy it from where the weights were trained"):
        compose(given).run(tmp_path / "without")
    shutil.copytree(run_dir / "kept", alone / "kept")
    compose(given).run(tmp_path / "with")
    assert predicted(tmp_path / "with") == NUMBERS


def test_a_training_that_goes_on_keeps_its_vocabulary_and_one_that_begins_makes_its_own(
    run_dir: Path, new: Path
) -> None:
    kept = run_dir / "kept" / "vocabulary.json"
    made = kept.read_bytes()
    given = [*GIVEN, "dm=named_genes", f"dm.file={new}", "training.max_steps=6"]
    config = compose([*given, "checkpoint.allow_changes=true"])
    config.run(run_dir)
    assert kept.read_bytes() == made
    for file in (run_dir / "checkpoints").iterdir():
        file.unlink()  # as if it had been killed before the first
    config.run(run_dir)
    assert json.loads(kept.read_text()) == [f"G{number:02}" for number in range(5, 12)]


def test_a_training_that_goes_on_in_another_directory_takes_the_vocabulary_with_it(
    run_dir: Path, new: Path, tmp_path: Path
) -> None:
    given = [*GIVEN, "dm=named_genes", f"dm.file={new}", "training.max_steps=6"]
    compose([*given, f"checkpoint.resume_from={run_dir}"]).run(tmp_path / "branch")
    kept = [one / "kept" / "vocabulary.json" for one in (run_dir, tmp_path / "branch")]
    assert kept[0].read_bytes() == kept[1].read_bytes()


def test_what_json_does_not_have_is_not_kept_and_what_is_damaged_is_named(tmp_path: Path) -> None:
    runtime = Runtime(device=torch.device("cpu"), seed=0, run_dir=tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        runtime.kept("mean", lambda: math.nan)
    assert runtime.kept("sizes", lambda: {"a": (1, 2)}) == {"a": [1, 2]}
    (tmp_path / "kept" / "sizes.json").write_text("{")
    with pytest.raises(UserError, match="sizes.json is not as the training wrote it"):
        runtime.kept("sizes")
