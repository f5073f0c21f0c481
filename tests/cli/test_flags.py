"""The flags of the command line: each typo is explained in one line."""

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from conftest import Run
from runwright import UserError
from runwright.cli.flags import read_flags


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--multrun"], "--multrun: there is no such flag. Did you mean '--multirun'?"),
        (["--cfgg", "job"], "--cfgg: there is no such flag. Did you mean '--cfg'?"),
        (["--cfgg=job"], "--cfgg=job: there is no such flag. Did you mean '--cfg'?"),
        (["--cfg", "jobb"], "--cfg/-c: invalid choice: 'jobb' (choose from "),
        (["--cfg"], "--cfg/-c: expected one argument."),
        (["--config", "a"], "ambiguous option: --config could match --config-path, --config-na"),
        (["--opt.lr=3"], "--opt.lr=3: there is no such flag. Options are set without d"),
        (["check"], "check: this program starts runs. The command is `python -m runwright check`;"),
        (["gpu=-1", "results"], "results: this program starts runs. The command is `python -m ru"),
        (["--xyz"], "--xyz: there is no such flag. --hydra-help lists them."),
        (["-m", "seed=1,2", "--cfg", "job"], "seed=1,2 with --cfg: these are several values, but"),
        *(
            (["-m", "seed=1", *flag], f"--multirun has no effect with {flag[0]}, which shows one c")
            for flag in (["--help"], ["--info"], ["--cfg", "job"], ["--hydra-help"])
        ),
        (["-m", "model=cnn,fcn", "--help"], "model=cnn,fcn with --help: these are several values"),
    ],
    ids=str,
)
def test_what_is_mistyped_is_explained_in_a_line(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["main.py", *arguments])
    with pytest.raises(UserError) as caught:
        read_flags()
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_the_version_is_our_own_with_hydras_beside(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["main.py", "model=cnn", "--version"])
    with pytest.raises(SystemExit) as ended:
        read_flags()
    assert not ended.value.code
    ours, hydra = version("runwright"), version("hydra-core")
    assert capsys.readouterr().out == f"runwright {ours} (Hydra {hydra})\n"


def test_flags_may_stand_among_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["main.py", "seed=1,2", "-m", "gpu=-1", "--multi"])
    args, _ = read_flags()
    assert args.multirun
    assert args.overrides == ["seed=1,2", "gpu=-1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mulitrun"], "--mulitrun: there is no such flag. Did you mean '--multirun'?\n"),
        (["--config-path", "nowhere"], "--config-path nowhere: there is no folder {main}/"),
        (["--config-dir", "nowhere"], "--config-dir nowhere: there is no folder {here}/no"),
        (["--lr", "0.1"], "--lr: there is no such flag. Options are set without dashes: lr=0.1\n"),
        (["--lr=0.1"], "--lr=0.1: there is no such flag. Options are set without dashes: lr=0.1\n"),
        (["--lr"], "--lr: there is no such flag. --hydra-help lists them.\n"),
        (
            ["--cfg", "job", "--package", "model.hiden_dim"],
            "--package model.hiden_dim: model has no 'hiden_dim'. Did you mean 'hidden_dim'?",
        ),
        (
            ["--cfg", "job", "--package", "hydra.sweep"],
            "--package hydra.sweep: Hydra's part is not the job's: --cfg hydra --package hydra.s",
        ),
        (["--config-dir", "a" * 300], "--config-dir aaa"),
        (["--config-path", "a" * 300], "--config-path aaa"),
        (["--config-name", "a" * 300], f"--config-name {'a' * 300}: File name too long.\n"),
        (["--cfg", "job", "--package", "modl"], "--package modl: nothing has that name. D"),
    ],
    ids=str,
)
def test_a_wrong_flag_ends_with_status_2(
    run_main: Run, repository: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = run_main(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(said.format(main=repository, here=tmp_path))
    assert "Traceback" not in done.stderr


def test_a_primary_configuration_that_does_not_exist_gets_the_nearest(run_main: Run) -> None:
    said = run_main("--config-name", "confg", "--cfg", "job").stderr
    assert said.endswith("Did you mean 'config'? Allowed: config.\n")


def test_a_circular_link_is_no_folder(run_main: Run, tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    done = run_main("--config-dir", "circle")
    assert done.returncode == 2
    assert done.stderr == f"--config-dir circle: there is no folder {tmp_path}/circle.\n"
