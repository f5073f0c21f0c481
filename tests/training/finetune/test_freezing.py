"""What is frozen stays what it is, its statistics too; a killed run needs the source no more."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from conftest import REPOSITORY, last_of_each
from programs import run_python
from runwright import UserError, compose, load
from runwright.finetune_options import FinetuneCfg, LoraCfg
from runwright.rundir.tensor_files import read_tensors, read_weights
from runwright.training.finetune.freezing import keep_in_evaluation_mode
from runwright.training.finetune.start import prepare
from training.finetune.conftest import OPTIONS, finetune, network
from training.resume.conftest import DIE_AT_STEP_30, assert_equal_runs

HERE = """
import sys
sys.path.insert(0, %r)
import training.finetune.conftest
"""
SCRIPT = HERE % str(REPOSITORY / "tests") + DIE_AT_STEP_30


def changed(run_dir: Path | str, of: dict[str, torch.Tensor], name: str = "last") -> set[str]:
    weights = read_weights(Path(run_dir) / "checkpoints" / f"{name}.safetensors")
    return {name for name in of if not torch.equal(weights[name], of[name])}


ENCODER = {name for name in network().state_dict() if name.startswith("encoder")}
HEAD = network().state_dict().keys() - ENCODER
# These are adapted by the optimiser, and a moving average follows them.
EVERYWHERE = (
    *("training.ema_decay=0.9", "training.val_every=3", "opt.weight_decay=0.1"),
    "training.log_every=7",
)


def test_what_is_frozen_stays_with_its_statistics(weights: Path) -> None:
    before = network().state_dict()
    options = (f"finetune.checkpoint={weights}", "finetune.freeze=[encoder]", *EVERYWHERE)
    finetune("run", *options)
    assert changed("run", before) == HEAD
    assert changed("run", before, "best") == HEAD  # the moving average's
    run = load("run")
    assert {n for n, p in run.model.named_parameters() if p.requires_grad} == HEAD
    state, _, _ = read_tensors(Path("run/checkpoints/last.state.safetensors"))
    optimised = {n.split("/")[1] for n in state if n.startswith("optimizer/")}
    assert optimised == HEAD


def test_the_complement_is_frozen_where_that_is_asked_for(weights: Path) -> None:
    before = network().state_dict()
    options = (f"finetune.checkpoint={weights}", "finetune.freeze_invert=true", *EVERYWHERE)
    finetune("run", *options, "finetune.freeze=['re:^head\\.']")
    assert changed("run", before) == HEAD


def test_of_a_part_the_statistics_go_on_where_something_of_it_is_trained(weights: Path) -> None:
    before = network().state_dict()
    finetune("run", f"finetune.checkpoint={weights}", "finetune.freeze=['re:weight$']")
    assert {"encoder.1.running_mean", "encoder.1.bias"} <= changed("run", before)
    assert "encoder.1.weight" not in changed("run", before)


class Norms(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, affine=False), nn.Dropout())
        self.second = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout())
        self.tied = nn.Linear(2, 2)
        self.tied.weight = self.first[0].weight  # pyright: ignore[reportAttributeAccessIssue]


def modes(model: nn.Module, cfg: FinetuneCfg) -> set[str]:
    """The modules that are trained."""
    frozen = prepare(model, cfg)
    model.train()
    keep_in_evaluation_mode(model, frozen)
    return {name for name, module in model.named_modules() if module.training}


def test_modules_of_which_nothing_is_trained_are_in_evaluation_mode() -> None:
    second = {"second", "second.0", "second.1", "second.2"}
    cfg = FinetuneCfg(freeze=["first"])
    assert modes(Norms(), cfg) == {"", *second, "tied"}
    assert modes(Norms(), FinetuneCfg(freeze=["second"], freeze_invert=True)) == {"", *second}
    lora = FinetuneCfg(lora=LoraCfg(layers=["first.0", "second.0"]))
    trained = {"", "first", "first.0", "first.2", "second", "second.0", "second.2"}
    assert modes(Norms(), lora) == trained
    everything = {name for name, _ in Norms().named_modules()}
    assert modes(Norms(), FinetuneCfg()) == everything


def test_nothing_left_to_train_is_an_error() -> None:
    with pytest.raises(UserError, match="finetune.freeze leaves no parameter to train"):
        prepare(Norms(), FinetuneCfg(freeze=["re:."]))


def killed_and_resumed(options: list[str], source: Path) -> None:
    """A run that is killed goes on without what it started from, to the same bytes."""
    options = last_of_each(*OPTIONS, "training.epochs=6", *EVERYWHERE, *options)
    compose([*options, "checkpoint.save_every=10"]).run("unbroken")
    done = run_python("-c", SCRIPT, "broken", *options, "checkpoint.save_every=10")
    assert done.returncode == -9, done.stderr
    report = Path("broken/finetune.json").read_bytes()
    source.unlink()
    compose([*options, "checkpoint.save_every=10"]).run("broken")
    assert_equal_runs(Path("unbroken"), Path("broken"))
    assert Path("broken/finetune.json").read_bytes() == report
    measured = compose([*options, "stage=validate"])
    measured.run("broken")
    best = json.loads(Path("broken/result.json").read_text())["value"]
    assert json.loads(Path("broken/validate.json").read_text())["val_loss"] == best


@pytest.mark.parametrize(
    "options",
    [
        ["finetune.freeze=[encoder]"],
        ["finetune.lora.layers=[encoder]", "finetune.lora.train=[head]"],
        ["finetune.reset=[head]", "finetune.lora.layers=[encoder.0]", "finetune.freeze=[head.0]"],
    ],
    ids=["freeze", "lora", "both"],
)
def test_a_killed_run_goes_on_without_its_source(options: list[str], weights: Path) -> None:
    killed_and_resumed([f"finetune.checkpoint={weights}", *options], weights)


def test_of_several_processes_each_keeps_what_is_frozen(tmp_path: Path) -> None:
    from torchrun import OPTIONS as CNN
    from torchrun import finish, start_copies

    small = ("dm=cmnist", "model=fcn", "model.hidden_dim=16", "model.num_hidden=2", "model.norm=BN")
    options = last_of_each(*CNN, *small, "training.epochs=1", "training.limit_train_batches=4")
    compose(options).run("base")
    before = read_weights(Path("base/checkpoints/last.safetensors"))
    same = {name for name in before if name.startswith("1.")}
    assert "1.1.running_mean" in same  # a hidden layer and its batch normalisation
    frozen = "finetune.freeze=['re:^1\\.']"
    told = ("finetune.checkpoint=base", frozen, "training.ema_decay=0.9", "hydra.run.dir=run")
    said = finish(start_copies(*told, options=options))
    assert re.search(r"Training [\d,]+ of [\d,]+ parameters", said)
    assert changed("run", before).isdisjoint(same)
    assert changed("run", before, "best").isdisjoint(same)
    assert changed("run", before)


def test_freezing_needs_no_checkpoint() -> None:
    finetune("run", "finetune.freeze=[encoder]")
    report: dict[str, Any] = json.loads(Path("run/finetune.json").read_text())
    assert report["checkpoints"] == []
    assert report["frozen_modules"] == ["encoder"]
