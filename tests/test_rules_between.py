"""Rules between groups: a part says what it needs of the others, and all is told together."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn
from typing_extensions import override

from programs import run_python
from runwright import (
    CONFIG_GROUPS,
    Config,
    ConfigError,
    ModelFactory,
    Settings,
    compose,
    factory,
    option,
    settings,
)
from runwright.domains import register_domains
from runwright.domains.vision.cmnist import ColoredMNISTDataModule
from runwright.domains.vision.dims import ImageDims
from runwright.factory import OptionError
from runwright.optimizers import TorchOptimizer

MODULE = """\
from collections.abc import Iterator

import runwright as rw
from runwright.domains.vision.dims import ImageDims


@rw.factory("patches")
class Patches(rw.ModelFactory[ImageDims]):
    '''It cuts images into patches.'''

    size: int = rw.option(default=5, ge=1, doc="width of a patch")

    def problems_in(self, config: rw.Config) -> Iterator[str]:
        if config.dm.default_res % self.size:
            yield f"`size` must divide `dm.default_res`, {config.dm.default_res}, got {self.size}"

    def build(self, dims: ImageDims):
        from torch import nn

        return nn.Sequential(nn.Flatten(), nn.LazyLinear(dims.num_classes))
"""


@settings
class Part(Settings):
    """A part of the model."""

    rate: float = option(default=0.0, ge=0, doc="how much")

    @override
    def problems_in(self, config: Config) -> Iterator[str]:
        assert isinstance(config.opt, TorchOptimizer)
        if self.rate > config.opt.lr:
            yield f"`rate` must be ≤ `opt.lr`, {config.opt.lr}, got {self.rate}"


@pytest.fixture(autouse=True)
def patches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose options depend on those of the data."""
    register_domains()
    monkeypatch.setitem(CONFIG_GROUPS, "model", dict(CONFIG_GROUPS["model"]))

    @factory("patches_here")
    class Patches(ModelFactory[ImageDims]):
        """It cuts images into patches."""

        size: int = option(default=7, ge=1, doc="width of a patch")
        parts: list[Part] = option(default=[Part()], doc="what it is made of")

        @override
        def problems_in(self, config: Config) -> Iterator[str]:
            if not isinstance(config.dm, ColoredMNISTDataModule):
                return
            if config.dm.default_res % self.size:
                yield (
                    f"`size` must divide `dm.default_res`, {config.dm.default_res}, got {self.size}"
                )

        @override
        def build(self, dims: ImageDims) -> nn.Module:
            return nn.Flatten()


def mistakes(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        compose(["dm=cmnist", "model=patches_here", *overrides])
    return list(refused.value.problems)


def test_a_part_says_what_it_needs_of_another_with_full_keys() -> None:
    assert mistakes("model.size=5") == ["model.size must divide dm.default_res, 28, got 5"]
    compose(["dm=cmnist", "model=patches_here", "model.size=5", "dm.default_res=35"])
    of_entry = mistakes("model.parts.0.rate=1", "opt.lr=0.5")
    assert of_entry == ["model.parts.0.rate must be ≤ opt.lr, 0.5, got 1.0"]


def test_it_is_told_with_all_other_mistakes() -> None:
    found = mistakes("model.size=5", "seed=-1", "opt.lrr=2", "model.parts.0.rate=1")
    assert len(found) == 4
    assert "model.size must divide dm.default_res, 28, got 5" in found


def test_what_follows_from_another_mistake_is_not_told() -> None:
    found = mistakes("model.size=5", "dm.default_res=0")
    assert found == ["dm.default_res must be ≥ 1, got 0"]
    assert all("divide" not in text for text in mistakes("model.size=0"))


def test_it_is_checked_in_python_too() -> None:
    config = compose(["dm=cmnist", "model=patches_here"])
    with pytest.raises(OptionError, match=r"Config: model.size must divide dm.default_res"):
        dataclasses.replace(config, dm=ColoredMNISTDataModule(default_res=30))


@pytest.mark.slow
def test_a_multirun_and_check_tell_it_before_anything_runs(tmp_path: Path) -> None:
    Path("patches_of.py").write_text(MODULE)
    Path("main.py").write_text(
        "from runwright import app\n\napp.main(None, factories=['patches_of'])\n"
    )
    options = ("dm=cmnist", "model=patches", "model.size=7,5", "gpu=-1")
    jobs = run_python("main.py", "-m", *options, cwd=tmp_path)
    assert jobs.returncode == 2
    assert "model.size must divide dm.default_res, 28, got 5" in jobs.stderr
    assert not [*Path("multirun").rglob("log.txt")]
    check = run_python("-m", "runwright", "check", cwd=tmp_path)
    assert check.returncode == 0, check.stderr
    said = " ".join(check.stdout.split())
    assert "model.size must divide dm.default_res, " in said
