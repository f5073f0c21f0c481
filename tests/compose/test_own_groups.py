"""A custom configuration class with custom groups works as well as the built-in ones."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from programs import run_python

SMALL = ("gpu=-1", "training.max_steps=2", "pictures=false")

LAB = '''
from abc import ABC, abstractmethod

from runwright import app
from runwright.factory import Settings, factory, option, settings
from runwright.model import ModelFactory
from runwright.config import Config
from toy_domain import SetDims

@settings
class Augmentation(Settings, ABC, group="aug"):
    """An augmentation."""
    @abstractmethod
    def build(self) -> float: ...

@factory("noise")
class Noise(Augmentation):
    """Noise."""
    scale: float = option(default=0.1, ge=0, doc="standard deviation")
    def build(self) -> float: return self.scale

@factory("flip")
class Flip(Augmentation):
    """Flips."""
    share: float = option(default=0.5, ge=0, le=1, doc="share of the images")
    def build(self) -> float: return self.share

@factory("wrapped")
class Wrapped(ModelFactory[SetDims]):
    """A model of another."""
    inner: ModelFactory = option(doc="the other")
    def build(self, dims): return self.inner.build(dims)

@settings
class Optional(Config):
    """An augmentation, if one is chosen."""
    aug: Augmentation | None = option(default=None, doc="the augmentation")

@settings
class Needed(Config):
    """An augmentation."""
    aug: Augmentation = option(doc="the augmentation")

@settings
class Two(Config):
    """Two augmentations."""
    train_aug: Augmentation = option(doc="the augmentation in training")
    test_aug: Augmentation | None = option(default=None, doc="the augmentation in tests")

if __name__ == "__main__":
    app.main(config={config})
'''
Lab = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Run the program of a lab whose configuration is of the class that is named first."""
    (tmp_path / "conf").mkdir()
    usual = "defaults: [config_schema, {dm: toy_sets}, {model: set_encoder}, _self_]\n"
    (tmp_path / "conf" / "config.yaml").write_text(usual)
    with_flip = usual.replace("_self_", "{aug: flip}, _self_")
    (tmp_path / "conf" / "with_flip.yaml").write_text(with_flip)
    path = os.environ.get("PYTHONPATH", "")

    def run(config: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        script = tmp_path / f"{config.lower()}.py"
        script.write_text(LAB.replace("{config}", config))
        env = {"PYTHONPATH": f"{Path(__file__).parents[1]}:{path}"}
        return run_python(script, *arguments, cwd=tmp_path, env=env)

    return run


@pytest.mark.parametrize(
    ("config", "chosen", "record"),
    [
        ("Optional", ["+aug=noise", "aug.scale=0.3"], ["- aug: noise", "aug:\n  scale: 0.3"]),
        ("Optional", [], ["aug: null"]),
        ("Two", ["+aug@train_aug=flip"], ["- aug@train_aug: flip", "test_aug: null"]),
        (
            "Optional",
            ["model=wrapped", "+model@model.inner=set_encoder"],
            ["- model: wrapped\n- model@model.inner: set_encoder", "model:\n  inner: {}"],
        ),
    ],
    ids=["chosen", "none", "two of a group", "within a factory"],
)
def test_the_record_names_the_member_and_reproduces_the_run(
    lab: Lab, tmp_path: Path, config: str, chosen: list[str], record: list[str]
) -> None:
    first = lab(config, *SMALL, *chosen, "hydra.run.dir=first")
    assert first.returncode == 0, first.stderr
    text = (tmp_path / "first" / "config.yaml").read_text()
    assert all(f"\n{lines}\n" in text for lines in record)
    recorded = ("--config-dir", "first", "--config-name", "config")
    second = lab(config, *recorded, "hydra.run.dir=second")
    assert second.returncode == 0, second.stderr
    for name in ("config.yaml", "checkpoints/last.safetensors"):
        one, two = (tmp_path / run / name for run in ("first", "second"))
        skip = 2 if name == "config.yaml" else 0  # its first lines name the directory
        assert one.read_bytes().split(b"\n")[skip:] == two.read_bytes().split(b"\n")[skip:]


def test_another_member_is_a_change_of_the_run(lab: Lab) -> None:
    small = [*SMALL, "hydra.run.dir=run"]
    assert lab("Two", *small, "+aug@train_aug=flip").returncode == 0
    assert lab("Two", *small, "+aug@train_aug=flip").returncode == 0
    changed = lab("Two", *small, "+aug@train_aug=noise")
    assert changed.returncode == 2
    assert "\n  aug@train_aug: flip → noise\n" in changed.stderr


@pytest.mark.parametrize(
    ("config", "arguments", "said"),
    [
        ("Needed", [], "aug must be chosen (the augmentation): +aug=flip|noise."),
        ("Two", [], "train_aug must be chosen (the augmentation in training): +aug@train_aug=flip"),
        ("Optional", ["model=wrapped"], "model.inner must be chosen (the other): +model@model.inn"),
        (
            "Needed",
            ["aug=noise"],
            "aug=noise: nothing is chosen by default for 'aug'. Write +aug=noise",
        ),
        ("Optional", ["aug=noise", "opt.lr=-1"], "2. opt.lr must be > 0, got -1.0"),
        ("Optional", ["+aug=nose"], "aug=nose: there is no such aug. Did you mean 'noise'?"),
        ("Optional", ["aug.scale=3"], "aug.scale: 'aug' was not chosen (+aug=flip|noise), so"),
        ("Optional", ["+aug=noise", "aug.scal=3"], "Did you mean 'aug.scale'? It has: scale."),
        ("Optional", ["+aug=flip", "aug.share=3"], "aug.share must be ≥ 0, ≤ 1, got 3.0"),
        ("Two", ["+aug@train_aug=nose"], "aug@train_aug=nose: there is no such aug. Did you mean"),
        (
            "Two",
            ["train_aug=noise"],
            "train_aug=noise: this is chosen with +aug@train_aug=flip|noise.",
        ),
        ("Two", ["+aug=noise"], "its members are chosen with +aug@train_aug=… or +aug@test_aug=…."),
        (
            "Optional",
            ["--config-name", "with_flip", "+aug=noise"],
            "+aug=noise: aug is chosen already. Write aug=noise.",
        ),
        (
            "Optional",
            ["--config-name", "with_flip", "aug=null"],
            "aug=null: there is no such aug. Allowed: flip, noise. To choose none: ~aug",
        ),
    ],
)
def test_a_mistake_is_told_with_what_to_type_instead(
    lab: Lab, config: str, arguments: list[str], said: str
) -> None:
    done = lab(config, *arguments)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["aug=noise"], "# @package aug\nscale: 0.1\n"),
        (["aug.share=0.2"], "# @package aug\nshare: 0.2\n"),
    ],
)
def test_in_the_defaults_list_it_is_chosen_like_a_model(
    lab: Lab, arguments: list[str], shown: str
) -> None:
    primary = ("--config-name", "with_flip", "--cfg", "job", "--package", "aug")
    assert lab("Needed", *primary, *arguments).stdout == shown
