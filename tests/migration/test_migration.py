"""Moving here from another program: what is read, written, told and refused."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typing_extensions import override

from runwright import (
    COMMANDS,
    Inert,
    Migration,
    NoEqual,
    Original,
    Rule,
    Taken,
    UserError,
    command,
    compose,
)
from runwright.__main__ import main
from runwright.migration.migration import read_original
from runwright.plain import plain_values


def _workers(value: Any, original: Original) -> Taken | Inert | NoEqual:
    if original.get("train.fast", False):
        return Inert("train.fast decides")
    if value > 4:
        return NoEqual("there are never so many", "Use fewer", {"training.log_every": 4})
    return Taken({"training.log_every": value, "seed": value}, "both follow it")


class MigrateTones(Migration):
    """Write the experiment that equals one of Tones."""

    program: ClassVar[str] = "Tones"

    @override
    def choices(self, original: Original) -> Mapping[str, str]:
        return {"dm": "cmnist", "model": original.get("net", "cnn")}

    @override
    def constants(self, original: Original) -> Mapping[str, tuple[Any, str]]:
        return {"opt.schedule": ("constant", "there is none")}

    @override
    def rules(self, original: Original) -> Sequence[Rule]:
        return [
            Rule.inert("net", "it is the model"),
            Rule.taken("train.lr", "opt.lr"),
            Rule.taken("train.steps", "training.max_steps", absent=7),
            Rule("train.workers", _workers),
            Rule.only("train.kind", "plain", None, why="it is plain here", way="Leave it out"),
            Rule.inert("log", "nothing reads it"),
        ]


@pytest.fixture(autouse=True)
def with_command() -> Iterator[None]:
    command("migrate tones")(MigrateTones)
    yield
    del COMMANDS["migrate tones"]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "saved.yaml"
    path.write_text("train: {lr: 1e-3, workers: 2, kind: plain}\nlog: {level: 3, file: null}\n")
    return path


def test_the_report_says_what_became_of_every_setting(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = ["train.kind=odd", "+train.lrr=1", "+wholly.else=[1,null]"]
    assert main(["migrate", "tones", str(saved), *overrides]) == 0
    printed = capsys.readouterr()
    assert printed.err == (
        "\nTaken over (1):\n"
        "  train.lr=0.001 → opt.lr=0.001\n"
        "Renamed or converted (2):\n"
        "  train.steps, which is not given → training.max_steps=7\n"
        "  train.workers=2 → training.log_every=2 seed=2 (both follow it)\n"
        "No effect in the original (1):\n"
        "  log={level: 3, file: null}: nothing reads it\n"
        "No equal here (1):\n"
        "  train.kind=odd: it is plain here. Leave it out.\n"
        "As the original does without a setting (1):\n"
        "  opt.schedule=constant: there is none\n"
        "Unknown (2):\n"
        "  train.lrr, which was left out. Did you mean 'train.lr'?\n"
        "  wholly.else, which was left out.\n"
    )
    assert printed.out == (
        "# @package _global_\n"
        f"# Made of {saved} train.kind=odd +train.lrr=1 '+wholly.else=[1,null]'.\n"
        "# No equal: train.kind.\n"
        "# Unknown: train.lrr, wholly.else.\n"
        "---\n"
        "defaults:\n- override /dm: cmnist\n- override /model: cnn\n"
        "opt:\n  schedule: constant\n  lr: 0.001\n"
        "training:\n  max_steps: 7\n  log_every: 2\n"
        "seed: 2\n"
    )


def test_a_rule_may_look_at_the_whole_configuration(saved: Path) -> None:
    def became(*overrides: str) -> Mapping[str, Any]:
        return MigrateTones().migrated(Original(read_original([saved], overrides))).options

    assert became()["seed"] == 2
    assert became("train.workers=5")["training.log_every"] == 4
    assert "seed" not in became("train.workers=5")
    assert "training.log_every" not in became("+train.fast=true")


def test_the_file_composes_and_is_not_replaced_unless_asked(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = tmp_path / "conf"
    out = conf / "experiment" / "sound" / "mine.yaml"
    call = ["migrate", "tones", str(saved), "--out", str(out)]
    assert main(call) == 0
    use = "python main.py +experiment=sound/mine"
    assert capsys.readouterr().out.endswith(f"\nWrote {out}. Use it with:\n  {use}\n")
    (conf / "config.yaml").write_text("defaults: [config_schema, dm: cmnist, model: fcn, _self_]\n")
    config = compose(["+experiment=sound/mine"], conf=conf)
    assert plain_values(config.opt)["lr"] == 0.001
    assert (config.training.max_steps, config.seed) == (7, 2)
    assert main(call) == 0  # it says the same
    out.write_text(out.read_text() + "# mine\n")
    capsys.readouterr()
    assert main(call) == 2
    assert capsys.readouterr().err == (
        f"{out} exists and is different. Name another file, or replace it with --overwrite.\n"
    )
    assert out.read_text().endswith("# mine\n")
    assert main([*call, "--overwrite"]) == 0
    assert not out.read_text().endswith("# mine\n")


def test_a_file_elsewhere_is_said_to_belong_among_the_experiments(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine.yaml"
    assert main(["migrate", "tones", str(saved), "--out", str(out)]) == 0
    said = f"Wrote {out}. In a folder conf/experiment it can be chosen with +experiment=…\n"
    assert capsys.readouterr().out.endswith(said)


def test_a_main_file_is_composed_with_its_groups(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "slow.yaml").write_text("lr: 0.1\nnames: [a, b]\nof: {one: 1, two: 2}\n")
    (tmp_path / "train" / "fast.yaml").write_text("lr: 0.2\nas_slow: ${train.lr}\n")
    main_file = tmp_path / "main.yaml"
    main_file.write_text("defaults:\n  - train: slow\n  - _self_\ntrain: {of: {two: 3}}\n")
    slow = read_original([main_file], ["train.names=[c]"])
    assert slow == {"train": {"lr": 0.1, "names": ["c"], "of": {"one": 1, "two": 3}}}
    fast = read_original([main_file], ["train=fast", "~train.of.two", "++train.of.one=4"])
    assert fast == {"train": {"lr": 0.2, "as_slow": 0.2, "of": {"one": 4}}}


def test_of_several_files_a_later_one_has_precedence(saved: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.yaml"
    more.write_text("train: {lr: 0.5, kind: null}\n")
    whole = read_original([saved, more], ["train.workers=3"])
    assert whole["train"] == {"lr": 0.5, "workers": 3, "kind": None}
    assert whole["log"] == {"level": 3, "file": None}


def test_a_file_whose_name_looks_like_an_override_is_a_file(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "lr=1"
    folder.mkdir()
    path = saved.rename(folder / "config.yaml")
    assert main(["migrate", "tones", str(path)]) == 0
    assert "lr: 0.001" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.yaml"], "nothing.yaml: there is no such file.\n"),
        (["odd.yml"], "odd.yml: the name of a configuration ends in .yaml.\n"),
        (["train.lr=1"], "Name a configuration of Tones, config.yaml, besides the overrides.\n"),
        (["torn.yaml"], "torn.yaml does not compose: while parsing a flow mapping\n"),
        (
            ["saved.yaml", "train.lrr=1"],
            (
                "saved.yaml does not compose: Could not override 'train.lrr'.\n"
                "To append to your config use +train.lrr=1\n"
            ),
        ),
        (
            ["saved.yaml", "train.lr=-1"],
            "What the configuration becomes is refused here.\nopt.lr must be > 0, got -1.0\n",
        ),
    ],
)
def test_mistakes_are_told(
    arguments: list[str],
    said: str,
    saved: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert saved.exists()
    (tmp_path / "odd.yml").write_text("train: {lr: 1}\n")
    (tmp_path / "torn.yaml").write_text("train: {lr: 1\n")
    assert main(["migrate", "tones", *arguments]) == 2
    assert capsys.readouterr().err.startswith(said)


def test_an_interpolation_without_a_target_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("train: {lr: '${nowhere}'}\n")
    assert main(["migrate", "tones", str(path)]) == 2
    assert "Interpolation key 'nowhere' not found" in capsys.readouterr().err


def test_a_directory_that_cannot_be_written_to_is_told(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/mine.yaml: (Not a directory|File exists)"):
        MigrateTones().run(_arguments(saved, tmp_path / "file" / "mine.yaml"))


def _arguments(saved: Path, out: Path) -> Any:
    return argparse.Namespace(arguments=[str(saved)], out=out, overwrite=False)
