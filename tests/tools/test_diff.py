"""`python -m runwright diff`."""

import json
from pathlib import Path

import pytest

from runwright import compose
from runwright.__main__ import main
from runwright.factory import name_of
from toy_domain import ToySets

OPTIONS = [f"dm={name_of(ToySets)}", "model=set_encoder", "gpu=-1", "pictures=false"]


def test_options_environment_and_measures_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for lr in ("0.01", "0.1"):
        compose([*OPTIONS, f"opt.lr={lr}", "training.max_steps=16"]).run(Path(lr))
    record = json.loads(Path("0.1/environment.json").read_text())
    record["packages"]["torch"] = "1.0"
    Path("0.1/environment.json").write_text(json.dumps(record))
    capsys.readouterr()
    assert main(["diff", "0.01", "0.1"]) == 0
    said = capsys.readouterr().out
    lines = [line.split() for line in said.splitlines()]
    assert ["opt.lr", "0.01", "0.1"] in lines
    assert [line[::2] for line in lines if line[:1] == ["torch"]] == [["torch", "1.0"]]
    values = [json.loads(Path(lr, "result.json").read_text())["value"] for lr in ("0.01", "0.1")]
    difference = f"{values[1] - values[0]:+.4g}"
    assert ["val_loss", f"{values[0]:.4g}", f"{values[1]:.4g}", difference] in lines
    assert main(["diff", "0.1", "0.1"]) == 0
    assert "Options: no difference.\nEnvironment: no difference." in capsys.readouterr().out


def test_what_only_the_chosen_member_has_stands_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, options in (
        ("one", ["model=cnn", "training.max_steps=1"]),
        ("other", ["model=fcn", "training.max_steps=2", "deterministic=true"]),
    ):
        compose(["dm=cmnist", "gpu=-1", "pictures=false", *options]).run(Path(name))
    capsys.readouterr()
    assert main(["diff", "one", "other"]) == 0
    options, _, _ = capsys.readouterr().out.partition("\n\n")
    lines = [line.split() for line in options.splitlines()]
    assert lines[1] == ["model", "cnn", "fcn"]
    assert ["deterministic", "false", "true"] in lines  # as they are typed
    assert "Only one: model.kernel_size=5 model.pool_stride=2" in options
    assert "Only other: model.num_hidden=1 model.hidden_dim=null" in options


def test_what_is_no_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(tmp_path), str(tmp_path)]) == 2
    assert f"{tmp_path} is not the directory of a run" in capsys.readouterr().err
