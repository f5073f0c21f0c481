"""`python -m runwright results`, on runs that were made."""

import csv
import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from conftest import REPOSITORY
from runwright import RunError, compose
from runwright.__main__ import main
from runwright.cli.commandline import run_command_line
from runwright.comparison.repetitions import Summary
from runwright.comparison.run_record import read_run
from runwright.comparison.table import mean_and_sd
from runwright.config import Config
from runwright.factory import name_of
from runwright.slurm import submissions
from runwright.slurm.submissions import SubmittedJob
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
    assert mean_and_sd(Summary(tuple(of_lr))) in line
    assert {row["state"] for row in table} == {"finished", "failed", "killed"}
    assert "failed: RunError: The training loss is" in text
    assert (tmp_path / "out.png").stat().st_size > 5000


def change(file: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change what a run has on record."""
    record = json.loads(file.read_text())
    edit(record)
    file.write_text(json.dumps(record))


def row_of(text: str, *parts: str) -> list[str]:
    """The one line of a table that has all these, in pieces."""
    (line,) = [line for line in text.splitlines() if all(part in line for part in parts)]
    return line.split()


def test_the_command_reruns_the_best_run(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = runs / "0.1" / "1"
    assert main(["results", str(best), str(runs / "0.01" / "1")]) == 0
    said = capsys.readouterr().out
    (command,) = [line for line in said.splitlines() if line.startswith("  python main.py")]
    assert shlex.split(command)[2:] == ["--config-dir", str(best), "--config-name", "config"]
    assert f"Best: val_loss {read_run(best).best:.4g}, seed 1." in said
    assert compose([], conf=best).run(tmp_path / "again") == read_run(best).best


def test_the_command_reruns_all_seeds_of_the_best_configuration(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["results", str(runs / "0.01"), str(runs / "0.1")]) == 0
    said = capsys.readouterr().out
    values = {seed: read_run(runs / "0.1" / str(seed)).best for seed in (1, 2, 3)}
    mean = mean_and_sd(Summary(tuple(values.values())))
    assert f"Best: val_loss {mean}, seeds 1, 2, 3. To run them again:" in said
    (command,) = [line for line in said.splitlines() if line.startswith("  python main.py")]
    arguments = [*shlex.split(command)[2:], "hydra.sweep.dir=again"]
    monkeypatch.setattr(sys, "argv", [str(REPOSITORY / "main.py"), *arguments])
    run_command_line("conf", "config", Config)
    again = [read_run(tmp_path / "again" / str(job)) for job in range(3)]
    assert {int(run.options["seed"]): run.best for run in again} == values


def test_runs_that_start_from_other_weights_are_another_configuration(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*OPTIONS, "opt.lr=0.01", "training.epochs=2"]
    compose([*options, f"checkpoint.load={runs / '0.1' / '1'}"]).run(tmp_path / "tuned")
    assert main(["results", "tuned", str(runs / "0.01" / "1")]) == 0
    assert "checkpoint.load" in capsys.readouterr().out


def write_table(run: Path, seed: int, held_out: str = "new") -> None:
    """Write a table as a stage does; the first measure depends on the seed."""
    lines = ["held_out,model,score,error", f"{held_out},best,{seed / 10},0.5", "new,worst,,0.25"]
    (run / "compare.csv").write_text("\n".join(lines) + "\n")


def test_tables_of_runs_are_averaged_over_seeds(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "0.01", "runs")
    write_table(tmp_path / "runs/1", 1)
    write_table(tmp_path / "runs/2", 2)
    assert main(["results", "runs", "--table", "compare.csv"]) == 0
    said = capsys.readouterr().out
    title, header, *rows = said.partition("compare.csv, ")[2].splitlines()
    assert title == "mean ± sd over seeds 1, 2:"
    assert header.split() == ["held_out", "model", "score", "error"]
    assert rows[0].split() == ["new", "best", "0.150", "±", "0.071", "0.5", "±", "0"]
    assert rows[1].split() == ["new", "worst", "–", "0.25", "±", "0"]
    assert "Without compare.csv: runs/3." in said
    write_table(tmp_path / "runs/3", 3, held_out="old")
    assert main(["results", "runs", "--table", "compare.csv"]) == 2
    said = capsys.readouterr().err
    assert "runs/3/compare.csv and runs/1/compare.csv do not have the same rows" in said
    assert main(["results", "runs", "--table", "compara.csv"]) == 2
    said = capsys.readouterr().err
    assert "--table compara.csv: no run has such a file." in said
    assert "compare.csv" in said


def test_texts_that_name_the_seed_are_no_other_configuration(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "0.01", "runs")
    for seed in (1, 2, 3):
        config = tmp_path / "runs" / str(seed) / "config.yaml"
        text = config.read_text()
        assert "data_path: data\n" in text
        config.write_text(text.replace("data_path: data\n", f"data_path: data/{seed}\n"))
    assert main(["results", "runs"]) == 0
    said = capsys.readouterr().out
    assert row_of(said, "3 finished")[3] == "3"
    assert "seed=1,2,3 'machine.data_path=data/${seed}'" in said
    config = tmp_path / "runs" / "3" / "config.yaml"
    config.write_text(config.read_text().replace("data_path: data/3\n", "data_path: data/2\n"))
    assert main(["results", "runs"]) == 0
    assert "machine.data_path" in capsys.readouterr().out


def test_a_seed_that_was_run_twice_counts_once(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "0.01", "runs")
    shutil.copytree("runs/3", "runs/4")
    change(tmp_path / "runs/4/environment.json", lambda r: r.update(started="2999-01-01T00:00:00"))
    change(tmp_path / "runs/4/result.json", lambda r: r.update(value=0.5))
    assert main(["results", "runs"]) == 0
    said = capsys.readouterr().out
    values = [read_run(Path("runs/1")).best, read_run(Path("runs/2")).best, 0.5]
    row = row_of(said, "4 finished")
    assert " ".join(row).startswith(f"{mean_and_sd(Summary(tuple(values)))} 3 4 finished")
    assert "Seed 3 was run 2 times with the same configuration: runs/4 is the newest" in said


def test_what_has_not_finished_is_shown_and_not_compared(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "0.01", "runs/0.01")
    shutil.copytree(runs / "0.1", "runs/0.1")
    better_than_all = {"status": "pruned", "value": 1e-6}
    for pruned in ("0.01/3", "0.1/1", "0.1/2", "0.1/3"):
        change(tmp_path / "runs" / pruned / "result.json", lambda r: r.update(better_than_all))
    assert main(["results", "runs", "--picture", "runs.png"]) == 0
    said = capsys.readouterr().out
    values = [read_run(Path("runs/0.01") / seed).best for seed in "12"]
    mean = mean_and_sd(Summary(tuple(values)))
    assert row_of(said, "2 finished, 1 pruned")[1:5] == [*mean.split(), "2"]
    assert row_of(said, "3 pruned")[:5] == ["0.1", "(1e-06)", "3", "3", "pruned"]
    assert said.index("2 finished") < said.index("3 pruned")
    assert "In brackets: the best so far of runs that have not finished." in said
    assert f"Best: val_loss {mean}, seeds 1, 2." in said
    assert "seed=1,2\n" in said


@pytest.mark.parametrize(
    ("table", "option", "monitor"),
    [
        ("step,train_loss,val_x\n1,0.5,\n2,,0.25\n3,0.5,\n", "null", "val_x"),
        ("step,train_loss,val_x,val_loss\n1,,0.25,3\n2,0.5,,\n", "val_loss", "val_loss"),
        ("step,train_loss\n1,0.5\n", "val_x", "val_x"),
        ("step,train_loss\n1,0.5\n", "null", None),
        ("step,train_loss\n1,0.5\n", "train_loss", "train_loss"),
    ],
)
def test_the_measure_of_a_run_without_an_end_is_that_of_its_validations(
    table: str, option: str, monitor: str | None, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(f"training:\n  monitor: {option}\n")
    (tmp_path / "metrics.csv").write_text(table)
    assert read_run(tmp_path).monitor == monitor


def test_jobs_that_were_submitted_are_told_of_where_there_is_no_slurm(
    runs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    sweep = tmp_path / "sweep"
    log = sweep / "log"
    jobs = [
        SubmittedJob(
            number=number,
            job=f"7_{number}",
            overrides=["gpu=-1", f"seed={number}"],
            run_dir=sweep / str(number),
            code="abc",
            log=log,
        )
        for number in (1, 2, 3)
    ]
    submissions.record(sweep, jobs)
    sweep = sweep.rename(tmp_path / "moved")
    assert main(["results", "moved"]) == 0
    said = capsys.readouterr().out
    assert (
        "moved: 3 of 3 jobs have not started a run (3 waiting?).\n  #1  7_1  waiting?  seed=1"
        in said
    )
    assert (
        "Whether they are still waiting is not known here: there is no Slurm on this machine."
        in said
    )
    for number in (1, 3):
        shutil.copytree(runs / "0.01" / str(number), sweep / str(number))
    slurm = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}
    other = {"code_version": "def", "environment": slurm}
    change(sweep / "3" / "environment.json", lambda record: record.update(other))
    assert main(["results", "moved"]) == 0
    said = capsys.readouterr().out
    assert "2 finished" in said
    assert (
        "moved: 1 of 3 jobs have not started a run (1 waiting?).\n  #2  7_2  waiting?  seed=2"
        in said
    )
    changed = "The code was changed while 1 of 3 jobs waited in the queue:\n"
    assert f"{changed}  moved/3: abc then, def when it ran" in said


def test_a_run_that_only_measured_weights_is_no_row(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = runs / "0.01" / "1"
    compose([*OPTIONS, "stage=validate", f"checkpoint.load={weights}"]).run(tmp_path / "measured")
    assert main(["results", "measured", str(weights)]) == 0
    said = capsys.readouterr().out
    assert "killed" not in said
    value = json.loads((tmp_path / "measured" / "validate.json").read_text())["val_largest"]
    assert main(["results", "measured", str(weights), "--measures", "val_largest"]) == 0
    assert f"{value:.4g}" in capsys.readouterr().out


def test_runs_with_different_measures_have_axes_of_their_own(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = compose([*OPTIONS, "training.monitor=val_largest", "training.epochs=1"])
    config.run(tmp_path / "other")
    arguments = ["results", "other", str(runs), "--picture", "out.svg"]
    assert main(arguments) == 0
    assert "val_largest" in capsys.readouterr().out
    picture = Path("out.svg").read_text()
    assert "<!-- val_largest -->" in picture
    assert "<!-- val_loss; mean ± sd over seeds; hollow: not finished -->" in picture


def test_whether_a_run_is_under_way_is_seen_without_its_lock(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = Path(shutil.copytree(runs / "killed", "run"))
    change(tmp_path / "run/environment.json", lambda r: r.update(process=os.getpid()))
    assert read_run(run_dir).state == "killed"
    with FileLock(run_dir / ".lock"):
        run_dir.chmod(0o555)
        assert main(["results", "run"]) == 0
        assert "running" in capsys.readouterr().out
    assert read_run(run_dir).state == "killed"
    run_dir.chmod(0o755)
    # Whoever looks holds nothing that a run which starts meanwhile would need.
    code = (
        "import sys; from pathlib import Path\n"
        "from runwright.comparison.run_record import read_run\n"
        "print('ready', flush=True)\n"
        "while True: read_run(Path('run'))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as looking:
        assert looking.stdout is not None
        looking.stdout.readline()
        end = time.monotonic() + 0.5
        try:
            while time.monotonic() < end:
                FileLock(run_dir / ".lock", blocking=False).acquire().lock.release()
        finally:
            looking.kill()


def test_a_run_on_another_host_is_not_said_to_be_killed(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = Path(shutil.copytree(runs / "killed", "run"))
    change(tmp_path / "run/environment.json", lambda r: r.update(host="node7"))
    assert main(["results", "run"]) == 0
    said = capsys.readouterr().out
    assert "unknown" in said
    assert "run has no recorded end. Whether it still runs on node7 cannot be seen" in said
    # On a network file system the server knows of the lock, as a POSIX lock.
    with (run_dir / ".lock").open("w") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        code = "from runwright.comparison.run_record import read_run; from pathlib import Path\n"
        code += "print(read_run(Path('run')).state)"
        state = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert state.strip() == "running"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--picture=out", "--picture out: must end in one of: .pdf, .png, .svg."),
        ("--picture=out.txt", "--picture out.txt: must end in one of"),
        ("--picture=/proc/out.png", "/proc/out.png cannot be written"),
        ("--csv=/proc/out.csv", "/proc/out.csv cannot be written"),
    ],
)
def test_a_file_that_cannot_be_written_is_named(
    runs: Path, option: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", str(runs), option]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("folder", "message"),
    [("nowhere", "there is no such directory"), (".", "There is no run directory in or below")],
)
def test_where_there_is_nothing_it_says_so(
    folder: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", folder]) == 2
    assert message in capsys.readouterr().err
