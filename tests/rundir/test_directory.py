"""The run directory: what it records, and what becomes of it when the disk fails."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from programs import run_python
from runwright import Config, UserError, compose
from runwright.caller import Caller
from runwright.optimizers import TorchOptimizer
from runwright.run import run
from runwright.rundir.changes import changes
from runwright.rundir.directory import RunDir
from runwright.rundir.record import config_yaml

LIKE_AN_INTERPOLATION = ("${seed}", r"\${seed}", r"a \\${x} ${", "$")
LIKE_NOTHING_GIVEN = ("???", r"\???", r"\\???", "a???", "~", "null", "")
LIKE_YAML = ("1e-3", "a: b", "- a", "#a", " a ", "it's", '"', "\\", "a\nb", "grün")
COMMAND = (
    *("dm=cmnist", "model=fcn", "model.hidden_dim=64", "gpu=-1", "pictures=false"),
    *("training.epochs=2", "training.limit_train_batches=4", "checkpoint.save_every=2"),
)


@pytest.mark.parametrize("text", [*LIKE_AN_INTERPOLATION, *LIKE_NOTHING_GIVEN, *LIKE_YAML])
def test_any_text_is_read_back_from_the_record_as_it_was(text: str, tmp_path: Path) -> None:
    opt = TorchOptimizer(optimizer_kwargs={"a": text, "b": [text]})
    config = dataclasses.replace(compose(["dm=cmnist", "model=cnn"]), opt=opt)
    recorded = tmp_path / "config.yaml"
    recorded.write_text(config_yaml(config, tmp_path))
    assert compose(conf=tmp_path) == config
    assert changes(recorded, config) == []


def changed(recorded: Config, now: Config, folder: Path) -> list[str]:
    (folder / "config.yaml").write_text(config_yaml(recorded, folder))
    return [line.strip() for line in changes(folder / "config.yaml", now)]


@pytest.mark.parametrize(
    ("key", "number", "share"),
    [
        *((f"training.{key}", "1", "1.0") for key in ("val_every", "limit_train_batches")),
        *(("training.limit_val_batches", "1", "1.0"), ("opt.warmup", "1", "1.0")),
        ("opt.optimizer_kwargs.amsgrad", "1", "True"),
    ],
)
def test_a_number_in_place_of_a_share_is_a_change(
    key: str, number: str, share: str, tmp_path: Path
) -> None:
    options = ["dm=cmnist", "model=cnn", "opt.schedule=cosine"]
    sign = "+" if "kwargs" in key else ""
    one, other = (compose([*options, f"{sign}{key}={value}"]) for value in (number, share))
    assert changed(one, one, tmp_path) == changed(other, other, tmp_path) == []
    assert changed(one, other, tmp_path) == [f"{key}: {number} → {share}"]
    assert changed(other, one, tmp_path) == [f"{key}: {share} → {number}"]


def test_a_number_that_can_only_be_meant_as_a_float_is_no_change(tmp_path: Path) -> None:
    one = dataclasses.replace(compose(["dm=cmnist", "model=cnn"]), opt=TorchOptimizer(lr=1))
    assert changed(one, compose(["dm=cmnist", "model=cnn", "opt.lr=1.0"]), tmp_path) == []


LIMITED = """
import resource, runpy, sys
_, kibibytes, *sys.argv = sys.argv
if kibibytes != "unlimited":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(kibibytes) * 1024,) * 2)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def limited(repository: Path, run_dir: Path, kibibytes: int | str, *more: str) -> tuple[int, str]:
    """Run where no file can be larger than this; exit status and messages on stderr."""
    command = (repository / "main.py", *COMMAND, f"hydra.run.dir={run_dir}", *more)
    done = run_python("-c", LIMITED, str(kibibytes), *command)
    return done.returncode, done.stderr


def test_a_full_disk_ends_the_run_with_the_way_to_go_on(tmp_path: Path, repository: Path) -> None:
    run_dir = tmp_path / "run"
    status, error = limited(repository, run_dir, 256)
    assert status == 1
    assert "Traceback" not in error
    assert "File too large. There is no checkpoint yet. Once it is writable again" in error
    assert f"hydra.run.dir={run_dir}" in error
    assert json.loads((run_dir / "result.json").read_text())["status"] == "failed"
    assert not list(run_dir.rglob("*.tmp"))
    assert limited(repository, run_dir, "unlimited")[0] == 0
    unbroken = tmp_path / "unbroken"
    assert limited(repository, unbroken, "unlimited")[0] == 0
    left, right = (d / "checkpoints" / "last.safetensors" for d in (run_dir, unbroken))
    assert left.read_bytes() == right.read_bytes()


def test_half_a_table_of_predictions_is_not_left_behind(tmp_path: Path, repository: Path) -> None:
    run_dir = tmp_path / "run"
    compose(COMMAND).run(run_dir)
    table = run_dir / "predictions_val.csv"
    assert limited(repository, run_dir, 16, "stage=predict")[0] == 1
    assert not table.exists()
    assert not list(run_dir.rglob("*.tmp"))
    assert limited(repository, run_dir, "unlimited", "stage=predict")[0] == 0
    assert table.stat().st_size > 16 * 1024
    assert table.read_text().startswith("index,label,group,prediction,probability_0,")


def without_privileges(repository: Path, *arguments: str) -> tuple[int, str]:
    """Run as a user whom the modes of files bind, which root is not; exit status and stderr."""
    prefix: list[str] = []
    if os.geteuid() == 0:
        if (setpriv := shutil.which("setpriv")) is None:
            pytest.skip("root may write everywhere, and there is no setpriv to give that up")
        prefix = [setpriv, "--bounding-set=-dac_override"]
    done = subprocess.run(
        [*prefix, sys.executable, str(repository / "main.py"), *COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """The directory of a finished run where nothing can be written."""
    run_dir = tmp_path / "run"
    compose(COMMAND).run(run_dir)
    folders = [run_dir, run_dir / "checkpoints"]
    for folder in folders:
        folder.chmod(0o555)
    yield run_dir
    for folder in folders:
        folder.chmod(0o755)


def test_weights_in_a_read_only_place_are_measured_from_elsewhere(
    read_only: Path, tmp_path: Path, repository: Path
) -> None:
    status, error = without_privileges(repository, "stage=validate", f"hydra.run.dir={read_only}")
    assert status == 2
    assert error == (
        f"hydra.run.dir={read_only}: it is not writable. The weights in it can be used "
        f"from elsewhere: give checkpoint.load={read_only} and another hydra.run.dir.\n"
    )
    elsewhere = [f"checkpoint.load={read_only}", f"hydra.run.dir={tmp_path / 'other'}"]
    assert without_privileges(repository, "stage=validate", *elsewhere) == (0, "")
    status, error = without_privileges(repository, f"hydra.run.dir={read_only}")
    assert (status, error.endswith("it is not writable. Use another one.\n")) == (
        2,
        True,
    )


@pytest.mark.parametrize("content", ["", "defaults: hello\n", "- 1\n"])
def test_what_is_no_record_of_a_run_is_called_so(tmp_path: Path, content: str) -> None:
    compose([*COMMAND, "training.max_steps=2"]).run(tmp_path)
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(UserError, match="it is not the record of a run"):
        compose([*COMMAND, "training.max_steps=2"]).run(tmp_path)


def test_a_table_that_was_changed_by_hand_is_refused(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    compose([*COMMAND, "training.max_steps=4"]).run(run_dir)
    (run_dir / "metrics.csv").write_text("a,b\n1,2\n")
    longer = compose([*COMMAND, "checkpoint.allow_changes=true"])
    with pytest.raises(UserError, match=r"metrics.csv is not as this run wrote it"):
        longer.run(run_dir)


class StopAtTheEnd:
    def report(self, step: int, value: float) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return False


def test_a_training_that_is_stopped_in_its_last_step_is_on_record_as_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = compose(["dm=cmnist", "model=cnn", "gpu=-1", "training.max_steps=2"])
    with pytest.raises(SystemExit):  # what would follow the run is not done
        run(config, tmp_path / "run", Caller(reporter=StopAtTheEnd()))
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "finished"
    assert "To resume" not in capsys.readouterr().out


def test_the_state_of_the_code_is_recorded_in_any_encoding(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    script = project / "main.py"
    script.write_text(
        "import sys\nfrom runwright import compose\ncompose(sys.argv[2:]).run(sys.argv[1])\n"
    )

    def git(*arguments: str) -> None:
        name = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *name, *arguments], cwd=project, check=True, capture_output=True)

    notes = project / "notes.txt"
    notes.write_text("")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    run_dir = tmp_path / "run"
    short = [*COMMAND, "checkpoint.allow_changes=true"]

    def train(steps: int) -> dict[str, object]:
        options = [*short, f"training.max_steps={steps}"]
        run_python(script, run_dir, *options, check=True)
        return json.loads((run_dir / "environment.json").read_text())

    notes.write_bytes(b"caf\xe9\n")
    assert train(2)["git_uncommitted_changes"] == [" M notes.txt"]
    assert b"+caf\xe9" in (run_dir / "git.diff").read_bytes()
    git("commit", "-am", "second")
    assert train(3)["git_uncommitted_changes"] == []
    assert not (run_dir / "git.diff").exists()


def test_the_newest_run_is_found_under_latest(tmp_path: Path) -> None:
    for seed in (1, 2):
        with RunDir.open(None, compose(["dm=cmnist", "model=cnn", f"seed={seed}"])) as directory:
            made = directory.path
    assert (tmp_path / "outputs" / "latest").resolve() == made.resolve()
    assert len(list((tmp_path / "outputs").rglob("config.yaml"))) == 2
    (tmp_path / "outputs" / "latest").unlink()
    (tmp_path / "outputs" / "latest").mkdir()  # a user's own
    with RunDir.open(None, compose(["dm=cmnist", "model=cnn", "seed=3"])):
        pass
    assert not (tmp_path / "outputs" / "latest").is_symlink()
