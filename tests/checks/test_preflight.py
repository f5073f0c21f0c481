"""What is found before a run directory is made: sizes, paths, and models with weights."""

import dataclasses
import os
import urllib.request
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from typing_extensions import override

from runwright import CONFIG_GROUPS, Config, ConfigError, compose, factory, option
from runwright.checks.preflight import problems
from runwright.model import ModelFactory
from toy_domain import SetDims

TOY = ("dm=toy_sets", "model=with_weights", "gpu=-1", "pictures=false")
MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@factory("of_many_layers")
class OfManyLayersFactory(ModelFactory[SetDims]):
    """As many layers, of such a width, as one likes."""

    layers: int = option(default=1, doc="layers")
    width: int = option(default=1, doc="width of each")

    @override
    def build(self, dims: SetDims) -> nn.Module:
        return nn.Sequential(*(nn.Linear(self.width, self.width) for _ in range(self.layers)))


@factory("with_weights")
class WithWeightsFactory(ModelFactory[SetDims]):
    """A network that starts from weights, which are here or are not."""

    url: str | None = option(default=None, doc="where they are")

    @override
    def build(self, dims: SetDims) -> nn.Module:
        if self.url is not None:
            urllib.request.urlopen(self.url)
        net = nn.Linear(3, 3)
        net.load_state_dict({"weight": torch.ones(3, 3, device="cpu"), "bias": torch.zeros(3)})
        return net


def config(model: ModelFactory, **options: object) -> Config:
    base = compose(["dm=toy_sets", "model=set_encoder", "gpu=-1"])
    return dataclasses.replace(base, model=model, **options)  # pyright: ignore[reportArgumentType]


def test_what_cannot_fit_into_memory_is_told_with_the_figures() -> None:
    width = int((MACHINE / 4 / 3) ** 0.5)  # the weights fit; gradients and two moments do not
    large = OfManyLayersFactory(width=width)
    (problem,) = problems(config(large))
    assert problem.startswith(
        "model=of_many_layers does not fit into memory with these options: its weights, their "
        "gradients and the optimiser's state take "
    )
    assert f"GB, and this machine has {MACHINE / 1e9:,.1f} GB. Make it smaller with" in problem
    assert problems(config(large, stage=CONFIG_GROUPS["stage"]["test"]())) == []
    assert problems(config(large), here=False) == []  # it is submitted to another machine


def test_a_model_of_a_million_layers_is_refused_within_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runwright.checks.model_size._MOST_TENSORS", 2_000)
    (problem,) = problems(config(OfManyLayersFactory(layers=1_000_000)), here=False)
    assert problem.startswith("model=of_many_layers has more than 2,000 parameter tensors")


def test_nothing_is_downloaded_and_nothing_warned_of_before_the_run(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert problems(config(WithWeightsFactory())) == []
        assert problems(config(WithWeightsFactory(url="http://localhost:9/weights"))) == []
    assert not warned
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("name", "why"), [("x" * 300, "File name too long"), ("a\0b", "null")])
def test_a_path_that_no_file_system_takes_is_named(name: str, why: str) -> None:
    base = compose(["dm=toy_sets", "model=set_encoder", "gpu=-1"])
    checkpoint = dataclasses.replace(base.checkpoint, load=Path(name))
    (problem,) = problems(dataclasses.replace(base, checkpoint=checkpoint))
    assert problem.startswith("checkpoint.load='")
    assert why in problem


def test_a_circular_link_is_no_path(tmp_path: Path) -> None:
    (circle := tmp_path / "circle").symlink_to(circle)
    base = compose(["dm=toy_sets", "model=set_encoder", "gpu=-1"])
    checkpoint = dataclasses.replace(base.checkpoint, load=circle / "run")
    (problem,) = problems(dataclasses.replace(base, checkpoint=checkpoint))
    assert problem == f"checkpoint.load='{circle / 'run'}': Too many levels of symbolic links."


def test_an_optimiser_that_needs_a_gpu_is_refused_on_the_cpu() -> None:
    options = ["dm=toy_sets", "model=set_encoder", "opt.optimizer_cls=NAdam"]
    options.append("opt.optimizer_kwargs={capturable: true}")
    (problem,) = problems(compose([*options, "gpu=-1"]))
    assert problem.startswith("opt.optimizer_kwargs.capturable=true: torch.optim.NAdam does not")
    assert problems(compose([*options, "gpu=0"])) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("checkpoint.load=nothing", "There are no weights to load. Looked for:\n  nothing\n"),
        ("checkpoint.resume_from=nothing/step-1.safetensors", "there is no such checkpoint"),
    ],
)
def test_weights_that_are_not_there_are_told_before_a_directory_is_made(
    given: str, said: str, tmp_path: Path
) -> None:
    config = compose([*TOY, given])
    with pytest.raises(ConfigError) as caught:
        config.run(tmp_path / "run")
    assert said in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_what_a_run_began_with_may_be_gone_when_it_resumes(tmp_path: Path) -> None:
    short = "training.max_steps=2"
    compose([*TOY, short]).run(tmp_path / "first")
    moved = tmp_path / "moved"
    for begins_with in ("checkpoint.load", "checkpoint.resume_from"):
        given = [*TOY, f"{begins_with}={tmp_path / 'first'}", "checkpoint.allow_changes=true"]
        run = tmp_path / begins_with
        compose([*given, "training.max_steps=3"]).run(run)
        (tmp_path / "first").rename(moved)
        compose([*given, "training.max_steps=4"]).run(run)
        assert "after step 3 of 4" in (run / "log.txt").read_text()
        moved.rename(tmp_path / "first")
