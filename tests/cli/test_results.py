"""`python -m runwright results`, on runs that were made."""

import csv
import shlex
import statistics
from pathlib import Path

import pytest
from filelock import FileLock

from runwright import RunError, compose
from runwright.__main__ import main
from runwright.factory import name_of
from toy_domain import ToySets

OPTIONS = [f"dm={name_of(ToySets)}", "model=set_encoder", "gpu=-1", "pictures=false"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two learning rates with three seeds each, one run that failed, and one that was killed."""
    folder = tmp_path_factory.mktemp("runs")
    for lr in (0.01, 0.1):
        for seed in (1, 2, 3):
            config = compose([*OPTIONS, f"opt.lr={lr}", f"seed={seed}", "training.epochs=2"])
            config.run(folder / f"{lr}" / str(seed))
    with pytest.raises(RunError):
        compose([*OPTIONS, "opt.lr=1e38", "opt.schedule=constant"]).run(folder / "failed")
    compose([*OPTIONS, "opt.lr=0.02", "training.max_steps=16"]).run(folder / "killed")
    (folder / "killed" / "result.json").unlink()
    return folder


def test_runs_that_differ_in_their_seed_are_one_row(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", str(runs), "--csv", "out.csv", "--picture", "out.png"]) == 0
    text = capsys.readouterr().out
    with (tmp_path / "out.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == 8
    of_lr = [float(row["best"]) for row in table if row["opt.lr"] == "0.01"]
    (line,) = [one for one in text.splitlines() if "3 finished" in one and "0.01 " in one]
    assert f"{statistics.fmean(of_lr):.4g}" in line
    assert f"{statistics.stdev(of_lr):.4g}" in line
    assert {row["state"] for row in table} == {"finished", "failed", "killed"}
    assert "failed: RunError: The training loss is" in text
    assert (tmp_path / "out.png").stat().st_size > 5000


def test_the_command_reruns_the_best_run(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", str(runs / "0.01"), str(runs / "0.1"), "--csv", "out.csv"]) == 0
    (command,) = [
        one for one in capsys.readouterr().out.splitlines() if one.startswith("  python main.py")
    ]
    arguments = shlex.split(command)
    with (tmp_path / "out.csv").open() as file:
        best = min(csv.DictReader(file), key=lambda row: float(row["best"]))
    assert arguments[2:] == ["--config-dir", best["directory"], "--config-name", "config"]
    again = compose([], conf=best["directory"])
    assert again.run(tmp_path / "again") == float(best["best"])


def test_a_run_under_way_is_said_to_be(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FileLock(runs / "killed" / ".lock"):
        assert main(["results", str(runs / "killed")]) == 0
    assert "running" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("folder", "message"),
    [("nowhere", "there is no such directory"), (".", "There is no run directory in or below")],
)
def test_where_there_is_nothing_it_says_so(
    folder: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", folder]) == 2
    assert message in capsys.readouterr().err
