"""The stages after training: measures with intervals, predictions, what follows a training."""

import csv
import json
import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pyarrow import parquet
from torch import nn

from runwright import ConfigError, Data, UserError, compose, factory
from runwright.domains.vision.objective import Classification
from runwright.stage import Stage, Trained
from toy_domain import SetBatch, SetDims, SetError, SquaredDistance

SMALL = [
    *("dm=cmnist", "model=fcn", "gpu=-1", "pictures=false"),
    *("training.max_steps=20", "model.hidden_dim=16"),
]
DIGITS = [*SMALL, "dm.test_prop=0.2"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on digits, with a test split."""
    path = tmp_path_factory.mktemp("digits") / "run"
    compose(DIGITS).run(path)
    return path


def measured(run_dir: Path, stage: str) -> dict[str, Any]:
    return json.loads((run_dir / f"{stage}.json").read_text())


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_argument_measures_a_run_with_its_own_data_and_model(
    digits: Path, tmp_path: Path
) -> None:
    given = [f"checkpoint.load={digits}", "stage=test"]
    assert compose(given).dm == compose(DIGITS).dm
    value = compose(given).run(tmp_path / "test")
    assert measured(tmp_path / "test", "test")["test_accuracy"] == value
    weights = digits / "checkpoints" / "best.safetensors"
    assert compose([f"checkpoint.load={weights}", "stage=test"]).dm == compose(DIGITS).dm
    # `pictures` is also a folder of the run.
    (digits / "pictures").mkdir(exist_ok=True)
    assert compose([*given, "pictures=true"]).pictures


@pytest.mark.parametrize("location", ["x" * 300, "x/" * 3000, "loop", "loop/best.safetensors"])
def test_what_is_no_path_is_left_to_the_run_to_report(location: str) -> None:
    Path("loop").symlink_to("loop")
    given = [f"checkpoint.load={location}", "stage=test", "dm=cmnist", "model=cnn"]
    assert str(compose(given).checkpoint.load) == location.rstrip("/")
    with pytest.raises(ConfigError, match="there is no home directory ~nobody-here"):
        compose(["checkpoint.load=~nobody-here/x", *given[1:]])


@pytest.mark.parametrize("other", [["model=cnn"], ["+experiment=wide"]])
def test_other_data_or_another_model_are_composed_as_usual(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: list[str]
) -> None:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    usual = "defaults: [config_schema, {dm: cmnist}, {model: fcn}, _self_]\n"
    (tmp_path / "conf" / "config.yaml").write_text(usual)
    wide = "# @package _global_\nmodel: {hidden_dim: 64}\n"
    (tmp_path / "conf" / "experiment" / "wide.yaml").write_text(wide)
    monkeypatch.chdir(tmp_path)
    config = compose(["stage=test", f"checkpoint.load={digits}", "gpu=-1", *other])
    with pytest.raises(UserError, match="were trained with other data or another model"):
        config.run(tmp_path / "out")


def test_intervals_come_from_one_inference_and_the_table_gives_the_same_measures(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    forward = nn.Sequential.forward

    def counting(self: nn.Sequential, batch: torch.Tensor) -> torch.Tensor:
        if batch.ndim == 4:  # the whole network, not one of its parts
            passes.append(len(batch))
        return forward(self, batch)

    monkeypatch.setattr(nn.Sequential, "forward", counting)
    given = [f"checkpoint.load={digits}", "stage=test", "stage.num_bootstrap_runs=100"]
    compose([*given, "pictures=true"]).run(tmp_path)
    found = measured(tmp_path, "test")
    intervals = found["intervals"]
    assert sum(passes) == intervals["num_examples"]["test"] == 1000
    assert intervals["ci_method"] == "bootstrap_quantiles"
    for name in ("test_loss", "test_accuracy", "test_macro_f1"):
        assert intervals[name]["low"] < found[name] < intervals[name]["high"]
    rows = {row["measure"]: row for row in table(tmp_path / "test_intervals.csv")}
    assert float(rows["test_accuracy"]["value"]) == found["test_accuracy"]
    assert (tmp_path / "pictures" / "test_intervals.png").is_file()
    again = tmp_path / "again"
    compose(given).run(again)
    assert measured(again, "test")["intervals"] == intervals


def test_the_measures_of_the_table_are_those_of_the_evaluation(
    digits: Path, tmp_path: Path
) -> None:
    given = [f"checkpoint.load={digits}", "stage=test", "stage.ci_method=binomial"]
    compose(given).run(tmp_path)
    found = measured(tmp_path, "test")
    for name in ("test_loss", "test_accuracy", "test_macro_f1", "test_worst_group_accuracy"):
        assert found["intervals"][name]["mean"] == pytest.approx(found[name], abs=1e-6)
    p = found["test_accuracy"]
    half = 1.96 * math.sqrt(p * (1 - p) / 1000)
    assert found["intervals"]["test_accuracy"]["low"] == pytest.approx(max(0, p - half))
    assert found["intervals"]["test_macro_f1"]["low"] is None  # no proportion of the examples


def test_a_measure_that_only_the_table_gives_is_told_with_its_interval(
    digits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def rate(_: Classification, columns: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        return {"rate_of_0": float(columns["probability_0"].mean())}

    monkeypatch.setattr(Classification, "measures_of", rate)
    given = [f"checkpoint.load={digits}", "stage=test", "stage.num_bootstrap_runs=20"]
    compose(given).run(tmp_path)
    found = measured(tmp_path, "test")
    low, high = (found["intervals"]["test_rate_of_0"][end] for end in ("low", "high"))
    assert low < found["test_rate_of_0"] < high
    value = f"{found['test_rate_of_0']:.4f}"
    assert f"test_rate_of_0 {value} [{low:.4f}, {high:.4f}]" in capsys.readouterr().out
    rows = {row["measure"]: row for row in table(tmp_path / "test_intervals.csv")}
    assert float(rows["test_rate_of_0"]["value"]) == found["test_rate_of_0"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["stage.ci_method=bootstrap_t_interval"], "stage.num_bootstrap_runs must be ≥ 1"),
        (["stage.ci_method=normal"], "stage.ci_method"),
        (["stage.num_bootstrap_runs=-1"], "stage.num_bootstrap_runs must be ≥ 0"),
    ],
)
def test_options_of_a_stage_are_checked(given: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([*DIGITS, "stage=test", *given])
    assert said in str(caught.value)


def test_predictions_are_a_csv_or_a_parquet_file(digits: Path, tmp_path: Path) -> None:
    given = [f"checkpoint.load={digits}", "stage=predict"]
    compose(given).run(tmp_path)
    compose([*given, "stage.format=parquet", "stage.split=test"]).run(tmp_path)
    rows = table(tmp_path / "predictions_test.csv")
    same = parquet.read_table(tmp_path / "predictions_test.parquet").to_pydict()
    assert len(rows) == 1000
    assert list(rows[0]) == list(same)
    assert [float(row["probability_3"]) for row in rows] == pytest.approx(same["probability_3"])


def test_test_and_predict_follow_a_training_and_only_once(tmp_path: Path) -> None:
    given = [*DIGITS, "then=[test,predict]"]
    config = compose(given)
    config.run(tmp_path)
    assert json.loads((tmp_path / "result.json").read_text())["then"] == ["test", "predict"]
    first = measured(tmp_path, "test")["test_accuracy"]
    compose([f"checkpoint.load={tmp_path}", "stage=test"]).run(tmp_path / "alone")
    assert measured(tmp_path / "alone", "test")["test_accuracy"] == first
    (tmp_path / "test.json").unlink()
    config.run(tmp_path)
    assert not (tmp_path / "test.json").exists()


def test_what_did_not_follow_yet_is_made_up_for(tmp_path: Path) -> None:
    config = compose([*DIGITS, "then=[test]"])
    config.run(tmp_path)
    record = json.loads((tmp_path / "result.json").read_text())
    del record["then"]  # as if it was killed before
    (tmp_path / "result.json").write_text(json.dumps(record))
    (tmp_path / "test.json").unlink()
    config.run(tmp_path)
    assert (tmp_path / "test.json").is_file()


def test_a_stage_without_its_split_is_refused_before_the_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no test split"):
        compose([*SMALL, "then=[test]"]).run(tmp_path)
    assert not (tmp_path / "checkpoints" / "last.safetensors").exists()
    with pytest.raises(ConfigError, match="then cannot have 'tset'. Did you mean 'test'"):
        compose([*SMALL, "then=[tset]"])


SETS = ["dm=toy_sets", "model=set_encoder", "gpu=-1", "training.max_steps=2", "pictures=false"]


def test_a_domain_has_stages_of_its_own(tmp_path: Path) -> None:
    checked: list[bool] = []

    @factory("largest_offset")
    class LargestOffset(Stage):
        """The largest output."""

        def check(self, data: Data[Any, Any]) -> None:
            checked.append(data.val is not None)

        def run(self, trained: Trained[SetBatch]) -> float:
            with trained.applying():
                batches = trained.data.val.batches(epoch=0) if trained.data.val else ()
                return max(float(trained.model(b.vectors).max()) for b in batches)

    compose(SETS).run(tmp_path / "run")
    given = [f"checkpoint.load={tmp_path / 'run'}", "stage=largest_offset"]
    assert compose(given).run(tmp_path / "out") > 0
    assert checked == [True]
    compose([*SETS, "then=[largest_offset]"]).run(tmp_path / "followed")
    assert len(checked) == 2


def test_what_an_objective_does_not_offer_is_told_before_the_training(tmp_path: Path) -> None:
    lacks = r"SquaredDistance does not define a table of predictions\. Define `predict\(model, "
    with pytest.raises(UserError, match=lacks):
        compose([*SETS, "then=[predict]"]).run(tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.csv").exists()
    compose([*SETS, "then=[validate]"]).run(tmp_path / "run")
    with pytest.raises(UserError, match=lacks):
        compose([*SETS, "stage=validate", "stage.num_bootstrap_runs=5"]).run(tmp_path / "run")


def test_embeddings_are_columns_and_a_domain_writes_what_it_likes(tmp_path: Path) -> None:
    class WithEmbeddings(SquaredDistance):
        def predict(self, model: nn.Module, batch: SetBatch) -> dict[str, NDArray[Any]]:
            return {"embedding": model(batch.vectors).mean(dim=1).numpy()}

    @factory("embedded")
    class Embedded(SetError):  # noqa: N818
        """Embeddings."""

        def build(self, dims: SetDims, device: torch.device) -> SquaredDistance:
            return WithEmbeddings()

    @factory("own_file")
    class OwnFile(SetError):  # noqa: N818
        """Files of its own."""

        def build(self, dims: SetDims, device: torch.device) -> SquaredDistance:
            return WritesNumpy()

    class WritesNumpy(SquaredDistance):
        @contextmanager
        def predictions(
            self, folder: Path, split: str, *, table_format: str = "csv"
        ) -> Generator[Any]:
            parts: list[NDArray[Any]] = []

            def take(model: nn.Module, batch: SetBatch) -> None:
                parts.append(model(batch.vectors).numpy())

            yield take
            np.save(folder / f"{split}.npy", np.concatenate(parts))

    for objective in ("embedded", "own_file"):
        chosen = [*SETS, f"objective={objective}"]
        compose(chosen).run(tmp_path / objective)
        compose([*chosen, "stage=predict"]).run(tmp_path / objective)
    rows = table(tmp_path / "embedded" / "predictions_val.csv")
    assert list(rows[0]) == ["index", "embedding_0", "embedding_1", "embedding_2"]
    assert np.load(tmp_path / "own_file" / "val.npy").shape == (64, 5, 3)
