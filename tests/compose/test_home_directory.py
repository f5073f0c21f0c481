"""The home directory may be written as in a shell."""

from pathlib import Path

import pytest

from compose.conftest import CMNIST, mistakes
from runwright import UserError, compose
from runwright.domains.vision.choices import (
    CelebADataModule,
    ColoredMNISTDataModule,
)
from runwright.plain import plain_values


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    "override", ["dm.root=~/digits", "dm.root='~/digits'", "++dm.root=~/digits"]
)
def test_the_home_directory_may_be_written_as_in_a_shell(home: Path, override: str) -> None:
    config = compose([*CMNIST, override, "checkpoint.load=~/run"])
    assert isinstance(config.dm, ColoredMNISTDataModule)
    assert config.dm.root == home / "digits"
    assert config.checkpoint.load == home / "run"
    assert plain_values(config)["dm"]["root"] == f"{home}/digits"


def test_the_home_directory_may_be_written_so_in_files(conf: Path, home: Path) -> None:
    (conf / "dm").mkdir()
    (conf / "dm" / "faces.yaml").write_text("defaults: [celeba]\nroot: ~/faces\ncache_dir: ~\n")
    (conf / "config.yaml").write_text(
        "defaults: [config_schema, dm: faces, model: cnn, _self_]\ncheckpoint: {load: ~/run}\n"
    )
    config = compose(["dm.cache_dir=~"])
    assert isinstance(config.dm, CelebADataModule)
    assert (config.dm.root, config.dm.cache_dir) == (home / "faces", home)
    assert config.checkpoint.load == home / "run"


def test_only_a_tilde_that_begins_a_path_is_a_home_directory(home: Path) -> None:
    config = compose([*CMNIST, "wandb.name='a,~/b'", "dm.root='x/~/y'"])
    assert config.wandb.name == "a,~/b"
    assert isinstance(config.dm, ColoredMNISTDataModule)
    assert config.dm.root == Path("x/~/y")


def test_a_home_directory_that_does_not_exist_is_named(home: Path) -> None:
    with pytest.raises(UserError, match=r"dm.root: there is no home directory ~nobody7"):
        compose([*CMNIST, "dm.root=~nobody7/x"])
    assert mistakes(*CMNIST, "dm.root='~nobody7/x'", "opt.lr=-1") == (
        "dm.root: there is no home directory ~nobody7.",
        "opt.lr must be > 0, got -1.0",
    )


def test_a_tilde_in_a_list_of_texts_stays_one() -> None:
    for typed in ("[a,~x,b]", "[ ~x]", "[~x,~y/z]"):
        config = compose([*CMNIST, f"wandb.tags={typed}"])
        assert config.wandb.tags == [one.strip() for one in typed[1:-1].split(",")]
    config = compose([*CMNIST, "finetune.checkpoint=a.pth", "finetune.rename={a:~b}"])
    assert config.finetune.rename == {"a": "~b"}
