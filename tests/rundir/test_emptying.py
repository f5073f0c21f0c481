"""`overwrite=true` empties a run directory of what a run wrote, and of nothing else."""

import csv
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import save_file

from conftest import REPOSITORY, Run
from programs import run_python, start_python
from runwright import Config, ConfigError, UserError, compose, new_figure, save_figure
from runwright.__main__ import main
from runwright.rundir.directory import RunDir
from runwright.rundir.emptying import empty
from runwright.rundir.layout import is_run_directory

SMALL = ("gpu=-1", "model=cnn", "pictures=false", "hydra.run.dir=run")
FIRST = (
    "gpu=-1",
    "model=cnn",
    "hydra.run.dir=run",
    "training.max_steps=4",
    "checkpoint.keep_every=2",
)


LEFT = {".lock", "environment.json", "log.txt"}


def config_of(*overrides: str) -> Config:
    return compose(
        ["gpu=-1", "model=cnn", "pictures=false", "training.max_steps=3", *overrides],
        conf=REPOSITORY / "conf",
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in below(folder)}


def seeds_in(table: str) -> list[str]:
    with Path(table).open() as file:
        return [row["seed"] for row in csv.DictReader(file)]


def below(folder: Path) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in files}


def test_another_run_takes_the_place_of_one_that_has_finished(run_main: Run) -> None:
    assert run_main(*FIRST, "tensorboard=true").returncode == 0
    kept = Path("run/checkpoints/step-00000002.safetensors")
    assert kept.exists()
    other = (*SMALL, "training.max_steps=3", "seed=7")
    refused = run_main(*other)
    assert refused.returncode == 2
    assert "or empty it first with overwrite=true." in refused.stderr
    done = run_main(*other, "overwrite=true")
    assert done.returncode == 0, done.stderr
    assert "Emptying " in done.stdout
    assert not kept.exists()
    assert not Path("run/pictures").exists()
    assert not Path("run/tensorboard").exists()
    record = Path("run/config.yaml").read_text()
    assert "seed: 7" in record
    assert "overwrite: false" in record  # so that what it reproduces is not emptied
    assert "overwrite" not in Path("run/command.txt").read_text()
    fresh = run_main(*other[:3], *other[4:], "hydra.run.dir=fresh", "overwrite=true")
    assert fresh.returncode == 0, fresh.stderr
    weights = "checkpoints/last.safetensors"
    assert Path("run", weights).read_bytes() == Path("fresh", weights).read_bytes()
    finished = run_main(*other)
    assert "To start over, add overwrite=true, or use another" in finished.stdout


def test_what_no_run_wrote_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run_dir = tmp_path / "run"
    config_of().run(run_dir)
    (run_dir / "kept").mkdir()
    (run_dir / "kept" / "words.json").write_text("[]")
    (run_dir / "kept" / "vectors.safetensors").write_bytes(b"")
    own = below(run_dir) - {"kept/words.json", "kept/vectors.safetensors"}
    theirs = {
        *("notes.txt", "mine/config.yaml", "checkpoints/mine.safetensors", "checkpoints/notes"),
        *("pictures/mine.png", "pictures/notes.txt", "adapter/mine.bin", "predictions.csv"),
    }
    for name in theirs:
        (run_dir / name).parent.mkdir(exist_ok=True)
        (run_dir / name).write_text("mine")
    (run_dir / "link").symlink_to(tmp_path)
    figure = new_figure(1, 1)
    save_figure(figure, run_dir / "pictures" / "ours.png")
    figure.savefig(run_dir / "pictures" / "theirs.png")
    left = empty(run_dir)
    assert below(run_dir) == {*theirs, *LEFT, "pictures/theirs.png"}
    folders = ["adapter", "checkpoints", "link", "mine"]
    assert left == [*folders, "notes.txt", "pictures", "predictions.csv"]
    assert (run_dir / "link").is_symlink()
    with caplog.at_level("INFO"):
        config_of("overwrite=true").run(run_dir)
    assert own <= below(run_dir)
    assert "No run wrote these, so they are still there: adapter, checkpoints, link" in caplog.text


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    run_dir, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    config_of().run(run_dir)
    (run_dir / "checkpoints").rename(elsewhere)
    (run_dir / "checkpoints").symlink_to(elsewhere)
    precious = tmp_path / "precious.csv"
    precious.write_text("mine")
    (run_dir / "metrics.csv").unlink()
    (run_dir / "metrics.csv").symlink_to(precious)
    empty(run_dir)
    assert (run_dir / "checkpoints").is_symlink()
    assert below(elsewhere) == set()
    assert precious.read_text() == "mine"


def test_a_folder_that_is_no_run_directory_is_refused_whatever_is_said(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "metrics.csv").write_text("mine")
    with pytest.raises(UserError, match="it is not a run directory"):
        config_of("overwrite=true").run(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "metrics.csv").read_text() == "mine"


def test_a_run_that_is_running_is_not_emptied(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    config_of().run(run_dir)
    before = below(run_dir)
    with FileLock(run_dir / ".lock"), pytest.raises(UserError, match="Another process is writing"):
        config_of("overwrite=true").run(run_dir)
    assert below(run_dir) == before


@pytest.mark.parametrize("option", ["checkpoint.load", "finetune.checkpoint"])
def test_what_the_run_starts_from_is_not_removed(option: str, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    config_of().run(run_dir)
    before = below(run_dir)
    source = run_dir / "checkpoints" / "best.safetensors"
    with pytest.raises(UserError, match=f"would remove what {option}=.* names. Take another"):
        config_of("overwrite=true", f"{option}={source}").run(run_dir)
    assert below(run_dir) == before


def test_mistakes_are_found_before_anything_is_removed(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    config_of().run(run_dir)
    before = below(run_dir)
    with pytest.raises(UserError):
        config_of("overwrite=true", "opt.optimizer_cls=torch.optim.Nothing").run(run_dir)
    assert below(run_dir) == before


BROKEN = {
    "the data": ["dm=image_folder", "dm.root=pictures", "dm.default_res=8"],
    "a limit of the data": ["training.limit_train_batches=0.0001"],
    "the weights to begin with": ["checkpoint.load=other.safetensors"],
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_mistake_that_only_building_shows_leaves_the_run_as_it_was(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_file({"other": torch.zeros(1)}, "other.safetensors")
    for name in ("cats", "dogs"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        (tmp_path / "pictures" / name / "one.png").write_text("no image")
    run_dir = tmp_path / "run"
    config_of().run(run_dir)
    before = contents(run_dir)
    with pytest.raises(UserError):
        config_of("overwrite=true", *BROKEN[what]).run(run_dir)
    after = contents(run_dir)
    said = after.pop("log.txt")
    assert said.startswith(before.pop("log.txt"))
    assert b"Nothing was overwritten: the run that was there still is." in said
    assert after == before


WORDS = """
import os, signal, sys
from runwright import compose, factory, option
from runwright.domains.vision.cmnist import ColoredMNISTDataModule


@factory("words")
class Words(ColoredMNISTDataModule):
    \"""Digits, and a vocabulary.\"""

    word: str = option(default="a", doc="all of the vocabulary")
    kills: bool = option(default=False, doc="whether to be killed when everything is read")

    def build(self, runtime):
        assert runtime.kept("words", lambda: [self.word]) == [self.word]
        (runtime.run_dir / "split.csv").write_text(self.word)
        if self.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().build(runtime)


config = compose(["dm=words", "model=cnn", "gpu=-1", "pictures=false", "training.max_steps=3",
    *sys.argv[1:]], conf=CONF)
config.run("run")
"""


def test_one_that_is_killed_while_it_builds_leaves_the_old_run_whole(tmp_path: Path) -> None:
    script = tmp_path / "words.py"
    script.write_text(WORDS.replace("CONF", repr(str(REPOSITORY / "conf"))))
    run_dir = tmp_path / "run"
    assert run_python(script, cwd=tmp_path).returncode == 0
    before = contents(run_dir)
    new = ("overwrite=true", "dm.word=b", "seed=7")
    killed = run_python(script, *new, "dm.kills=true", cwd=tmp_path)
    assert killed.returncode == -signal.SIGKILL
    left = contents(run_dir)
    left["log.txt"] = left["log.txt"][: len(before["log.txt"])]
    assert left == before | {
        ".overwriting/kept/words.json": b'["b"]\n',
        ".overwriting/split.csv": b"b",
    }
    done = run_python(script, *new, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(run_dir, "kept", "words.json").read_text() == '["b"]\n'
    assert Path(run_dir, "split.csv").read_text() == "b"
    assert not (run_dir / ".overwriting").exists()
    said = Path(run_dir, "log.txt").read_text()
    assert said.count("Run directory: ") == 1  # of this run alone
    assert "Emptying" in said


def test_a_stage_that_does_not_train_empties_nothing() -> None:
    with pytest.raises(ConfigError, match="overwrite starts a training over; stage=test needs"):
        config_of("overwrite=true", "stage=test")


def test_a_file_cannot_say_it(tmp_path: Path) -> None:
    usual = (REPOSITORY / "conf" / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(f"{usual}\noverwrite: true\n")
    with pytest.raises(ConfigError, match="overwrite: true in a file would empty"):
        compose(conf=tmp_path)
    assert compose(["overwrite=true"], conf=tmp_path).overwrite
    assert not compose(["overwrite=false"], conf=tmp_path).overwrite


@pytest.mark.parametrize("variable", ["SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT"])
def test_a_job_that_is_started_again_goes_on(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = tmp_path / "run"
    config_of().run(run_dir)
    monkeypatch.setenv(variable, "1")
    with RunDir.open(run_dir, config_of("overwrite=true")) as directory:
        assert directory.finished is not None


@pytest.mark.slow
def test_the_command_that_resumes_does_not_empty(run_main: Run, tmp_path: Path) -> None:
    long = (*SMALL, "training.max_steps=100000", "checkpoint.save_every=1")
    main = REPOSITORY / "main.py"
    with start_python(main, *long, "overwrite=true", cwd=tmp_path) as process:
        state = Path("run/checkpoints/last.state.safetensors")
        while not state.exists():
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=120)
    (resume,) = [line for line in said.splitlines() if "To resume: " in line]
    assert "overwrite" not in resume
    assert "training.max_steps=100000" in resume


def test_every_job_of_a_multirun_empties_its_own_directory(run_main: Run) -> None:
    options = (*SMALL[:3], "hydra.sweep.dir=jobs", "training.max_steps=2")
    assert run_main("-m", *options, "seed=1,2").returncode == 0
    Path("jobs/1/notes.txt").write_text("mine")
    done = run_main("-m", *options, "seed=2,3", "overwrite=true")
    assert done.returncode == 0, done.stderr
    assert "seed: 2\n" in Path("jobs/0/config.yaml").read_text()
    assert "seed: 3\n" in Path("jobs/1/config.yaml").read_text()
    assert Path("jobs/1/notes.txt").exists()


def test_jobs_of_the_multirun_before_are_not_counted(
    run_main: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("-m", *SMALL[:3], "training.max_steps=2", "hydra.sweep.dir=jobs")
    assert run_main(*options, "seed=1,2,3").returncode == 0
    by_itself = (*SMALL[:3], "training.max_steps=2", "seed=9")
    assert run_main(*by_itself, "hydra.run.dir=jobs/mine").returncode == 0
    assert run_main(*by_itself, "-m", "hydra.sweep.dir=jobs/another").returncode == 0
    weights = Path("jobs/2/checkpoints/last.safetensors").read_bytes()
    done = run_main(*options, "seed=4,5", "overwrite=true")
    assert done.returncode == 0, done.stderr
    assert main(["results", "jobs", "--csv", "jobs.csv"]) == 0
    left = "Runs of multiruns that were started over with overwrite=true are left out: jobs/2.\n"
    assert left in capsys.readouterr().out
    assert seeds_in("jobs.csv") == ["4", "5", "9", "9"]
    assert Path("jobs/2/checkpoints/last.safetensors").read_bytes() == weights
    # A job of a later command that is this very run.
    assert run_main(*options, "seed=4,5,3").returncode == 0
    assert main(["results", "jobs", "--csv", "jobs.csv"]) == 0
    assert "are left out" not in capsys.readouterr().out
    assert seeds_in("jobs.csv") == ["4", "5", "3", "9", "9"]


@pytest.mark.slow
def test_a_process_for_each_job_does_not_count_the_others_as_of_the_multirun_before(
    run_main: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("-m", *SMALL[:3], "training.max_steps=2", "hydra.sweep.dir=jobs")
    assert run_main(*options, "seed=1,2,3").returncode == 0
    processes = ("hydra/launcher=joblib", "hydra.launcher.backend=multiprocessing")
    one_by_one = (*processes, "hydra.launcher.n_jobs=1")
    done = run_main(*options, *one_by_one, "seed=4,5", "overwrite=true")
    assert done.returncode == 0, done.stderr
    assert main(["results", "jobs", "--csv", "jobs.csv"]) == 0
    assert "started over with overwrite=true are left out: jobs/2.\n" in capsys.readouterr().out
    assert seeds_in("jobs.csv") == ["4", "5"]


def test_a_multirun_that_cannot_begin_leaves_the_one_before_counted(
    run_main: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("-m", *SMALL[:3], "training.max_steps=2", "hydra.sweep.dir=jobs")
    assert run_main(*options, "seed=1,2").returncode == 0
    refused = run_main(*options, "overwrite=true", "opt.optimizer_cls=SGD,Adan")
    assert refused.returncode == 2
    assert main(["results", "jobs", "--csv", "jobs.csv"]) == 0
    assert seeds_in("jobs.csv") == ["1", "2"]


def test_the_trials_of_a_study_go_on_instead(run_main: Run) -> None:
    sweep = ("-m", "hydra/sweeper=runwright", "hydra.sweeper.n_trials=1", "overwrite=true")
    done = run_main(*sweep, *SMALL[:3], "training.max_steps=2", "opt.lr=interval(1e-4,1e-3)")
    assert done.returncode == 2
    assert "overwrite=true: the trials of a study go on where they ended." in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 3, 7, 12])
def test_one_that_is_killed_while_it_empties_leaves_a_run_directory(
    at: int, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    config_of("checkpoint.keep_every=1").run(run_dir)
    child = os.fork()
    if child == 0:
        unlink, count = Path.unlink, [0]

        def killed(self: Path, missing_ok: bool = False) -> None:
            count[0] += 1
            if count[0] == at:
                os.kill(os.getpid(), signal.SIGKILL)
            unlink(self, missing_ok=missing_ok)

        Path.unlink = killed
        empty(run_dir)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert is_run_directory(run_dir)
    assert (run_dir / "log.txt").exists()
    # Whatever is left, a run can continue or start over there.
    config_of().run(run_dir)
    config_of("seed=3", "overwrite=true").run(run_dir)
    assert "seed: 3\n" in (run_dir / "config.yaml").read_text()
