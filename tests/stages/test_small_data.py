"""A stage needs the split that it is about, and no other."""

from pathlib import Path

import pytest
import torch

from runwright import (
    Data,
    InMemory,
    Runtime,
    Stage,
    Trained,
    UserError,
    compose,
    factory,
    option,
    split_of,
)
from toy_domain import SetBatch, SetDims, ToySets


@factory("sets_of_a_size")
class SetsOfASize(ToySets):
    """As many sets in each split as are asked for."""

    train: int = option(default=16, doc="sets to train on")
    val: int = option(default=8, doc="sets to validate on")
    unseen: int = option(default=4, doc="further sets to validate on")

    def build(self, runtime: Runtime) -> Data[SetDims, SetBatch]:
        def split(count: int, seed: int | None = None) -> InMemory[SetBatch]:
            x = torch.randn(count, 5, self.features, generator=torch.Generator().manual_seed(0))
            sets = SetBatch(vectors=x, target=x).to(runtime.device)
            return InMemory(sets, batch_size=8, shuffle_seed=seed)

        also = {"unseen": split(self.unseen)} if self.unseen else {}
        train, test = split(self.train, runtime.seed), split(3)
        return Data(
            dims=self.expected_dims(), train=train, val=split(self.val), also=also, test=test
        )


@factory("given_split")
class CountTest(Stage):
    """Count the examples of the test split, with the model applied to each."""

    def run(self, trained: Trained[SetBatch]) -> float:
        with trained.applying():
            outputs = [
                trained.model(batch.vectors) for batch in split_of(trained.data, "test").batches(0)
            ]
        return float(sum(map(len, outputs)))


USUAL = ["dm=sets_of_a_size", "model=set_encoder", "gpu=-1", "pictures=false"]
TRAINED = [*USUAL, "training.epochs=1", "training.monitor=unseen_largest"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("sets") / "run"
    compose(TRAINED).run(run_dir)
    return run_dir


def of_new_data(trained: Path, *options: str) -> list[str]:
    allowed = ["checkpoint.allow_changes=true", f"checkpoint.load={trained}"]
    limits = ["training.limit_train_batches=0.5", "training.limit_val_batches=0.9"]
    return [*TRAINED, *limits, *allowed, *options]


SMALL = ("dm.train=2", "dm.val=1", "dm.unseen=0")


def test_predictions_for_a_test_split_need_no_other(trained: Path, tmp_path: Path) -> None:
    config = compose(of_new_data(trained, "stage=given_split", *SMALL))
    assert config.run(tmp_path / "run") == 3


def test_a_test_split_is_measured_though_the_others_are_small(
    trained: Path, tmp_path: Path
) -> None:
    config = compose(of_new_data(trained, "stage=test", *SMALL))
    assert config.run(tmp_path / "run") > 0
    assert (tmp_path / "run" / "test.json").exists()


def test_what_the_stage_is_about_is_still_told(trained: Path, tmp_path: Path) -> None:
    options = of_new_data(trained, "stage=validate", *SMALL)
    with pytest.raises(UserError, match="limit_val_batches=0.9 leaves none of the 1 batches"):
        compose(options).run(tmp_path / "validate")


@pytest.mark.parametrize("limit", ["training.limit_train_batches=null", "training.epochs=2"])
def test_a_training_on_too_few_is_told_before_its_first_step(limit: str, tmp_path: Path) -> None:
    too_few = "has 2 examples, fewer than one batch of 8. Use a smaller batch size, e.g. dm.batch"
    with pytest.raises(UserError, match=too_few):
        compose([*USUAL, "dm.train=2", limit]).run(tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.csv").exists()
