"""The training loop does what its options say."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from conftest import last_of_each
from runwright import RunError, UserError, compose
from runwright.data import Data
from runwright.data.batching import InMemory, epoch_order
from runwright.device.runtime import Runtime
from runwright.factory import factory
from runwright.rundir.tensor_files import read_tensors, read_weights
from runwright.training.splits import FirstBatches
from toy_domain import SetBatch, SetDims, SquaredDistance, ToySets

SETS = ["dm=toy_sets", "model=set_encoder", "gpu=-1", "pictures=false", "training.log_every=1"]
DIGITS = ["dm=cmnist", "model=cnn", "gpu=-1", "pictures=false", "opt.lr=0.002"]


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return read_tensors(run_dir / "checkpoints" / "last.safetensors")[0]


def column(run_dir: Path, name: str) -> dict[int, float]:
    return {int(row["step"]): float(row[name]) for row in rows(run_dir) if row[name]}


def test_the_number_of_steps_is_epochs_times_batches_or_max_steps(tmp_path: Path) -> None:
    compose([*SETS, "training.epochs=3"]).run(tmp_path / "epochs")
    compose([*SETS, "training.epochs=3", "training.max_steps=5"]).run(tmp_path / "steps")
    compose([*SETS, "training.max_steps=90"]).run(tmp_path / "only")
    compose([*SETS, "training.epochs=null"]).run(tmp_path / "neither")
    names = ("epochs", "steps", "only", "neither")
    assert [int(rows(tmp_path / name)[-1]["step"]) for name in names] == [24, 5, 90, 80]


def test_the_record_of_a_run_says_how_long_it_trains(tmp_path: Path) -> None:
    compose(SETS).run(tmp_path / "run")
    assert "  epochs: 10\n" in (tmp_path / "run" / "config.yaml").read_text()
    compose(last_of_each(*SETS, "training.max_steps=3")).run(tmp_path / "steps")
    recorded = (tmp_path / "steps" / "config.yaml").read_text()
    assert "  epochs: null\n  max_steps: 3\n" in recorded


@pytest.mark.parametrize(
    ("val_every", "expected"),
    [("0.5", [4, 8, 12, 16]), ("1.0", [8, 16]), ("3", [3, 6, 9, 12, 15, 16]), ("100", [16])],
)
def test_validation_is_by_steps_or_by_shares_of_an_epoch(
    tmp_path: Path, val_every: str, expected: list[int]
) -> None:
    compose([*SETS, "training.epochs=2", f"training.val_every={val_every}"]).run(tmp_path / "run")
    assert list(column(tmp_path / "run", "val_loss")) == expected


def test_the_training_loss_is_the_mean_since_it_was_last_recorded(tmp_path: Path) -> None:
    options = [*SETS, "training.epochs=1", "opt.lr=1e-9", "opt.schedule=constant"]
    compose(options).run(tmp_path / "each")
    compose(last_of_each(*options, "training.log_every=4")).run(tmp_path / "fourth")
    each = column(tmp_path / "each", "train_loss")
    fourth = column(tmp_path / "fourth", "train_loss")
    assert fourth[4] == pytest.approx(sum(each[step] for step in (1, 2, 3, 4)) / 4)


def test_accumulated_batches_give_the_gradient_of_one_large_batch(tmp_path: Path) -> None:
    options = [*DIGITS, "training.max_steps=4", "opt.schedule=constant", "opt.optimizer_cls=SGD"]
    compose([*options, "dm.batch_size=100"]).run(tmp_path / "large")
    compose([*options, "dm.batch_size=25", "training.accumulate_grad_batches=4"]).run(
        tmp_path / "small"
    )
    large, small = weights(tmp_path / "large"), weights(tmp_path / "small")
    for name in large:
        torch.testing.assert_close(small[name], large[name], atol=1e-6, rtol=1e-5)


def test_clipping_bounds_the_step(tmp_path: Path) -> None:
    options = [*SETS, "training.max_steps=1", "opt.optimizer_cls=SGD", "opt.lr=1"]
    options += ["opt.schedule=constant"]
    compose([*options, "training.clip_grad=1e-3"]).run(tmp_path / "clipped")
    compose(last_of_each(*options, "opt.lr=1e-12")).run(tmp_path / "still")
    before, after = weights(tmp_path / "still"), weights(tmp_path / "clipped")
    moved = torch.sqrt(sum((after[n] - before[n]).square().sum() for n in after))  # pyright: ignore[reportArgumentType]  # a sum of tensors
    assert float(moved) == pytest.approx(1e-3, rel=1e-3)


def test_the_moving_average_is_validated_and_saved_as_best(tmp_path: Path) -> None:
    options = [*SETS, "training.max_steps=2", "training.val_every=2", "opt.lr=0.1"]
    options += ["opt.optimizer_cls=SGD", "opt.schedule=constant"]
    for steps in (1, 2):
        compose(last_of_each(*options, f"training.max_steps={steps}")).run(
            tmp_path / f"plain{steps}"
        )
    compose([*options, "training.ema_decay=0.75"]).run(tmp_path / "ema")
    torch.manual_seed(42)
    start = compose(SETS).model.build(SetDims(features=3)).state_dict()
    first, second = weights(tmp_path / "plain1"), weights(tmp_path / "plain2")
    best = read_weights(tmp_path / "ema" / "checkpoints" / "best.safetensors")
    for name, value in best.items():
        average = 0.75 * (0.75 * start[name] + 0.25 * first[name]) + 0.25 * second[name]
        torch.testing.assert_close(value, average, atol=1e-6, rtol=1e-5)
    for name, value in weights(tmp_path / "ema").items():
        assert torch.equal(value, second[name])


def test_early_stopping_ends_after_that_many_validations_without_a_new_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*SETS, "training.epochs=50", "opt.lr=1", "opt.schedule=constant"]
    best = compose([*options, "training.early_stopping=3"]).run(tmp_path / "run")
    losses = column(tmp_path / "run", "val_loss")
    values = list(losses.values())
    assert values.index(min(values)) == len(values) - 4
    assert best == min(values)
    assert "Stopping early: no new best in 3 validations." in capsys.readouterr().out


def test_the_best_weights_are_those_of_the_best_validation(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    value = compose(last_of_each(*DIGITS, "training.epochs=2", "opt.lr=0.01")).run(run_dir)
    accuracies = column(run_dir, "val_accuracy")
    assert value == max(accuracies.values())
    measured = compose(
        last_of_each(*DIGITS, "training.epochs=2", "opt.lr=0.01", "stage=validate")
    ).run(run_dir)
    assert measured == value
    assert json.loads((run_dir / "validate.json").read_text())["val_accuracy"] == value


def test_limits_shorten_an_epoch_and_the_validation(tmp_path: Path) -> None:
    options = [*SETS, "training.epochs=2"]
    compose([*options, "training.limit_train_batches=3"]).run(tmp_path / "number")
    compose([*options, "training.limit_train_batches=0.25"]).run(tmp_path / "share")
    assert rows(tmp_path / "number")[-1]["step"] == "6"
    assert rows(tmp_path / "share")[-1]["step"] == "4"


def test_overfitting_a_batch_drives_the_loss_down_on_the_same_examples(tmp_path: Path) -> None:
    options = last_of_each(
        *DIGITS, "training.overfit_batches=1", "training.epochs=60", "opt.lr=0.01"
    )
    accuracy = compose([*options, "training.val_every=20"]).run(tmp_path / "run")
    assert accuracy == 1.0


def test_what_was_overfitted_is_what_is_validated_afterwards(tmp_path: Path) -> None:
    options = [*DIGITS, "training.overfit_batches=2", "training.epochs=20"]
    value = compose(options).run(tmp_path / "run")
    assert compose([*options, "stage=validate"]).run(tmp_path / "run") == value
    best = json.loads((tmp_path / "run" / "result.json").read_text())["measures"]
    measured = json.loads((tmp_path / "run" / "validate.json").read_text())
    assert {name: measured[name] for name in best} == best


def test_limits_of_what_is_overfitted_are_refused() -> None:
    with pytest.raises(UserError, match=r"training\.limit_val_batches must be null"):
        compose([*DIGITS, "training.overfit_batches=1", "training.limit_val_batches=2"])


@pytest.mark.parametrize("options", [["model=fcn", "model.norm=BN"], ["model=resnet"]])
def test_batch_normalisation_of_lone_examples_is_refused(
    tmp_path: Path, options: list[str]
) -> None:
    config = compose(last_of_each(*DIGITS, *options, "dm.batch_size=1", "dm.default_res=8"))
    with pytest.raises(UserError, match=r"\(such as dm\.batch_size=2\)"):
        config.run(tmp_path / "run")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_trains_to_a_similar_loss(tmp_path: Path, precision: str) -> None:
    options = [*DIGITS, "training.epochs=1", "training.log_every=62"]
    compose(options).run(tmp_path / "fp32")
    compose([*options, f"training.precision={precision}"]).run(tmp_path / precision)
    full, low = (column(tmp_path / name, "train_loss")[62] for name in ("fp32", precision))
    assert low != full
    assert low == pytest.approx(full, rel=0.05)
    assert all(value.dtype == torch.float32 for value in weights(tmp_path / precision).values())


@pytest.mark.slow
def test_a_compiled_model_trains_alike_and_saves_the_same_names(tmp_path: Path) -> None:
    options = [*SETS, "training.epochs=1"]
    compose(options).run(tmp_path / "plain")
    compose([*options, "training.compile=true"]).run(tmp_path / "compiled")
    plain, compiled = weights(tmp_path / "plain"), weights(tmp_path / "compiled")
    assert plain.keys() == compiled.keys()
    for name in plain:
        torch.testing.assert_close(compiled[name], plain[name], atol=1e-4, rtol=1e-3)


def test_a_model_that_torch_does_not_compile_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    compose([*DIGITS, "training.max_steps=1", "training.compile=true"]).run(tmp_path / "run")
    said = [one for one in caplog.messages if "training.compile has no effect" in one]
    assert len(said) == 1
    assert "plain torch.nn.Sequential, which torch does not trace" in said[0]


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(
    tmp_path: Path,
) -> None:
    run_dir = tmp_path / "run"
    options = [*DIGITS, "opt.schedule=constant", "checkpoint.save_every=5"]
    compose([*options, "training.max_steps=20"]).run(run_dir)
    with pytest.raises(RunError) as caught:
        compose(last_of_each(*options, "opt.lr=1e38", "checkpoint.allow_changes=true")).run(run_dir)
    kept = run_dir / "checkpoints" / "step-00000020.safetensors"
    text = str(caught.value)
    assert "The training loss is nan at step 22 (learning rate 1e+38)" in text
    assert str(kept) in text
    assert all(bool(value.isfinite().all()) for value in read_weights(kept).values())
    assert weights(run_dir).keys() == read_weights(kept).keys()
    assert json.loads((run_dir / "result.json").read_text())["status"] == "failed"


def test_the_step_of_the_first_loss_that_is_not_finite_is_named(tmp_path: Path) -> None:
    class Breaking(SquaredDistance):
        calls = 0

        def losses(self, model: nn.Module, batch: SetBatch) -> dict[str, torch.Tensor]:
            losses = super().losses(model, batch)
            if model.training:
                Breaking.calls += 1
                if Breaking.calls >= 2 * 6 + 1:  # the first batch of step 7
                    losses["loss"] = losses["loss"] * math.nan
            return losses

    options = last_of_each(*SETS, "training.accumulate_grad_batches=2", "training.log_every=50")
    config = compose(last_of_each(*options, "opt.schedule=linear", "opt.lr=0.01"))  # over 40 steps
    object.__setattr__(config.objective, "build", lambda dims, device: Breaking())  # pyright: ignore[reportUnknownLambdaType,reportUnknownArgumentType]
    with pytest.raises(RunError, match=r"is nan at step 7 \(learning rate 0\.0085\)"):
        config.run(tmp_path / "run")


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        compose([*SETS, "training.epochs=1", f"seed={seed}"]).run(tmp_path / name)
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


def test_without_validation_data_it_says_so_and_takes_the_training_loss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @factory("toy_sets_without_validation")
    class NoValidation(ToySets):  # pyright: ignore[reportUnusedClass]
        """Sets to train on only."""

        def build(self, runtime: Runtime) -> Data[SetDims, SetBatch]:
            data = super().build(runtime)
            return Data(dims=data.dims, train=data.train)

    options = last_of_each(*SETS, "dm=toy_sets_without_validation", "training.epochs=2")
    value = compose(options).run(tmp_path / "run")
    assert "There are no validation data" in capsys.readouterr().out
    assert value == min(column(tmp_path / "run", "train_loss").values())
    value = compose([*options, "training.monitor=last"]).run(tmp_path / "last")
    assert "There are no validation data" not in capsys.readouterr().out
    losses = column(tmp_path / "last", "train_loss")
    assert value == losses[max(losses)]


def test_the_order_of_an_epoch_is_a_function_of_seed_and_epoch() -> None:
    assert torch.equal(epoch_order(100, seed=1, epoch=2), epoch_order(100, seed=1, epoch=2))
    assert not torch.equal(epoch_order(100, seed=1, epoch=2), epoch_order(100, seed=1, epoch=3))
    assert not torch.equal(epoch_order(100, seed=1, epoch=2), epoch_order(100, seed=2, epoch=2))
    assert epoch_order(100, seed=0, epoch=0).sort().values.tolist() == list(range(100))


def numbers(count: int) -> SetBatch:
    values = torch.arange(count, dtype=torch.float32)
    return SetBatch(vectors=values, target=values)


def test_batches_can_be_taken_from_any_number_on() -> None:
    split = InMemory(numbers(103), batch_size=10, shuffle_seed=5)
    whole = [batch.vectors for batch in split.batches(epoch=3)]
    later = [batch.vectors for batch in split.batches(epoch=3, start=4)]
    assert len(whole) == split.num_batches == 10
    assert all(torch.equal(a, b) for a, b in zip(whole[4:], later, strict=True))


def test_measuring_takes_every_example_once_in_order() -> None:
    split = InMemory(numbers(103), batch_size=10, shuffle_seed=None)
    assert split.num_batches == 11
    taken = torch.cat([batch.vectors for batch in split.batches(epoch=0)])
    assert taken.tolist() == list(range(103))


def test_a_limited_split_is_the_beginning_of_it() -> None:
    split = InMemory(numbers(103), batch_size=10, shuffle_seed=5)
    few = FirstBatches(split, 3)
    assert few.num_batches == 3
    assert len(few) == 30
    for whole, part in zip(split.batches(2), few.batches(2), strict=False):
        assert torch.equal(whole.vectors, part.vectors)
    same = FirstBatches(split, 2, same_every_epoch=True)
    assert torch.equal(next(same.batches(0)).vectors, next(same.batches(7)).vectors)
