"""An objective with a step of its own: a GAN's, of several optimisers."""

import csv
import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

import own_optimizers
from conftest import last_of_each
from runwright import ConfigError, UserError, compose, factory
from runwright.rundir.learning_curves import learning_curves
from runwright.rundir.tensor_files import read_weights
from torchrun import finish, start_copies
from toy_domain import SetBatch, SetDims
from training.test_loop import column

GAN = (
    *("dm=toy_sets", "model=pair", "objective=adversarial", "opt=pair_of_adams", "gpu=-1"),
    *("pictures=false", "training.max_steps=20", "training.log_every=5", "training.val_every=10"),
)
MAIN = f"""
import sys
sys.path[:0] = {list(filter(None, sys.path))}
from runwright import app
app.main(conf=None, factories=["own_optimizers"])
"""


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_both_players_learn_and_all_losses_are_recorded(tmp_path: Path) -> None:
    longer = ("training.max_steps=150", "training.val_every=50", "opt.lr=0.002")
    compose(last_of_each(*GAN, *longer)).run(tmp_path / "run")
    found = rows(tmp_path / "run")
    assert {"train_loss", "train_critic", "train_real", "val_loss"} <= found[0].keys()
    assert min(float(row["val_loss"]) for row in found if row["val_loss"]) < 0.1
    # A step takes four batches, and an epoch has eight.
    assert float(found[-1]["epoch"]) == 75


def test_the_learning_rate_of_every_optimiser_is_recorded(tmp_path: Path) -> None:
    seldom = ("training.log_every=10", "training.val_every=5", "tensorboard=true")
    compose(last_of_each(*GAN, *seldom)).run(tmp_path / "run")
    found = rows(tmp_path / "run")
    assert list(found[0])[:4] == ["step", "epoch", "lr_generator", "lr_critic"]
    assert [row["lr_critic"] for row in found] == ["", "0.005", "", "0.005"]
    assert [row["lr_generator"] for row in found] == ["", "0.0025", "", "0.0025"]
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert events.Scalars("lr_critic")[-1].value == pytest.approx(0.005)
    figure = learning_curves(tmp_path / "run" / "metrics.csv", ["val"])
    assert figure is not None
    labels = [line.get_label() for line in figure.axes[-1].get_lines()]
    assert labels == ["generator", "critic"]
    assert figure.axes[-1].get_legend() is not None


class Halved(nn.Sequential):
    """Layers that give half of their output where they are compiled."""

    def forward(self, noise: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]  # a better name
        output = super().forward(noise)
        return output / 2 if torch.compiler.is_compiling() else output


@factory("halved_pair")
class HalvedPair(own_optimizers.PairFactory):
    """A pair that shows whether it is compiled."""

    def build(self, dims: SetDims) -> nn.Module:
        pair = own_optimizers.Pair(dims.features)
        pair.generator = Halved(*pair.generator)
        return pair


@pytest.mark.slow
def test_the_parts_that_a_step_calls_are_compiled(tmp_path: Path) -> None:
    short = last_of_each(*GAN, "training.max_steps=2", "training.val_every=1", "opt.lr=1e-4")
    compiled = (*short, "training.compile=true")
    compose(short).run(tmp_path / "plain")
    compose(compiled).run(tmp_path / "compiled")
    compose(last_of_each(*compiled, "model=halved_pair")).run(tmp_path / "halved")
    losses = [column(tmp_path / n, "val_loss")[2] for n in ("plain", "compiled", "halved")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[2] != pytest.approx(losses[0], rel=1e-2)


def test_another_number_of_batches_than_declared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"Adversarial.step called updates.batches\(\) 4 times, but b"
    ):
        compose([*GAN, "objective.declared=2"]).run(tmp_path / "run")
    with pytest.raises(UserError, match=r"An epoch has 8 batches, fewer than the 9 of a step: 9 t"):
        compose([*GAN, "objective.critic_updates=8"]).run(tmp_path / "other")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            "opt=torch",
            (
                "Adversarial needs optimisers named generator, critic, but opt=torch has only one, "
                "which has no name. Choose an opt whose `build` returns a dictionary with these"
            ),
        ),
        (
            "training.parallel=fsdp",
            "training.parallel=fsdp: Adversarial defines its own training step",
        ),
        ("opt=forgetful", "opt=forgetful: no optimiser updates generator.0.bias, generator.2.wei"),
    ],
)
def test_what_does_not_fit_a_step_of_ones_own_is_told_before_data_are_read(
    tmp_path: Path, more: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(last_of_each(*GAN, more)).run(tmp_path / "run")
    assert said in str(caught.value)
    assert not (tmp_path / "run").exists()


class Once(own_optimizers.Adversarial):
    """Takes what it has used up, or asks for what there is not."""

    def __init__(self, fault: str) -> None:
        super().__init__(1, None)
        self.fault = fault

    def step(self, updates: own_optimizers.Updates[SetBatch]) -> None:
        batches = updates.batches()
        name = "critc" if self.fault == "name" else "critic"
        loss = "loss" if self.fault == "loss" else "critic"
        updates.minimise(self.critic_losses, batches, name, loss=loss)
        updates.minimise(self.generator_losses, batches, "generator")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("batches", r"an update got fewer batches than training.accumulate_grad_batches=1"),
        ("name", r"there is no optimiser 'critc'. Did you mean 'critic'\?"),
        ("loss", r"The objective's losses are `critic`, `real`. One must be called `loss`"),
    ],
)
def test_a_mistake_in_a_step_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    def build(*_: object) -> Once:
        return Once(fault)

    monkeypatch.setattr(own_optimizers.AdversarialFactory, "build", build)
    with pytest.raises(UserError, match=said):
        compose(GAN).run(tmp_path / "run")


@pytest.mark.parametrize("way", ["gan", "plateau"])
def test_processes_stay_together(tmp_path: Path, way: str) -> None:
    """Two processes end, with a plateau reached, or gradients averaged by hand."""
    main = tmp_path / "main.py"
    main.write_text(MAIN)
    plateau = ("opt.schedule=plateau", "opt.patience=1", "opt.gamma=0.5", "opt.lr=0.5")
    options = (
        GAN
        if way == "gan"
        else last_of_each(*GAN, "model=set_encoder", "objective=set_error", "opt=torch", *plateau)
    )
    run_dir = tmp_path / "two"
    said = finish(start_copies(*options, f"hydra.run.dir={run_dir}", options=(), script=main))
    assert "Best val_loss" in said
    if way == "plateau":
        assert "No new best val_loss in 1 measurement:" in said
    else:  # of each batch each process has a half, so what it draws for it is another
        weights = read_weights(run_dir / "checkpoints" / "last.safetensors")
        assert all(bool(tensor.isfinite().all()) for tensor in weights.values())
        assert {"train_critic", "val_loss"} <= rows(run_dir)[0].keys()


def test_gradients_are_averaged_over_the_processes(tmp_path: Path) -> None:
    script = tmp_path / "averaged.py"
    script.write_text(AVERAGED)
    said = finish(start_copies(options=(), script=script))
    assert said.count("averaged") == 2


AVERAGED = f"""
import sys
sys.path[:0] = {list(filter(None, sys.path))}
import torch
from torch import nn
from runwright.device.distributed import joined
from runwright.training.parallel import average_gradients
with joined(-1) as world:
    parameters = [nn.Parameter(torch.ones(shape)) for shape in ((2, 3), (4,), (1,))]
    parameters[0].grad = torch.full((2, 3), float(world.rank + 1))
    if world.rank == 0:
        parameters[1].grad = torch.ones(4)
    average_gradients(parameters, world)
    assert parameters[0].grad.tolist() == [[1.5] * 3] * 2
    assert parameters[1].grad.tolist() == [0.5] * 4
    assert parameters[2].grad is None
    print("averaged", flush=True)
sys.exit()  # as `app.main` ends: what started it would go on in each process
"""


def test_batches_that_an_update_would_not_use_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"NowAndThen\.step: an update got more batches than"):
        compose(
            [
                *("dm=toy_sets", "model=set_encoder", "objective=now_and_then", "gpu=-1"),
                *("objective.too_many=true", "training.max_steps=1", "pictures=false"),
            ]
        ).run(tmp_path / "run")


def test_a_parameter_of_two_optimisers_is_refused() -> None:
    config = compose(["dm=toy_sets", "model=set_encoder", "opt=twice", "gpu=-1"])
    with pytest.raises(ConfigError, match=r"opt=twice: several optimisers update self_attn\."):
        config.run()


@pytest.mark.parametrize("opt", ["torch", "apart"])
def test_an_overflow_skips_the_update_of_every_optimiser(tmp_path: Path, opt: str) -> None:
    options = ("dm=toy_sets", "model=poisoned", f"opt={opt}", "gpu=-1", "pictures=false")
    more = ("training.precision=fp16", "training.clip_grad=1", "training.max_steps=10")
    assert compose([*options, *more]).run(tmp_path / "run") < 5
    weights = read_weights(tmp_path / "run" / "checkpoints" / "last.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values())
