"""A run writes to a directory of its own, and destroys nothing of another's."""

import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import SMALL, Run
from programs import run_python
from runwright import UserError, compose
from runwright.caller import Caller
from runwright.config import CheckpointCfg
from runwright.rundir.checkpoint import Checkpoints
from runwright.rundir.directory import RunDir
from runwright.rundir.layout import among_choices

CONFIG = compose(["dm=cmnist", *SMALL, "training.max_steps=2"])
NAMES = (
    *("config.yaml", "metrics.csv", "result.json", "command.txt", "environment.json", "git.diff"),
    *("log.txt", "test.json", "predictions_val.csv", "checkpoints/best.safetensors"),
    *("pictures/mine.png", "tensorboard/mine", ".lock"),
)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def open_and_close(run_dir: Path) -> None:
    with RunDir.open(run_dir, CONFIG):
        pass


@pytest.mark.parametrize("name", NAMES)
def test_a_directory_that_is_no_runs_is_refused_and_stays_as_it_is(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("{}")
    shown = name if "/" not in name else f"{name.split('/', maxsplit=1)[0]}/"
    before = contents(tmp_path)
    with pytest.raises(UserError) as caught:
        open_and_close(tmp_path)
    assert str(caught.value) == (
        f"run_dir={tmp_path}: it is not a run directory, and a run would overwrite what is there: "
        f"{shown}. Use another directory, or move those away."
    )
    assert contents(tmp_path) == before


@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
def test_no_stage_replaces_the_files_of_a_configuration_folder(
    run_main: Run, tmp_path: Path, stage: str
) -> None:
    (tmp_path / "conf").mkdir()
    text = "defaults: [config_schema, {dm: cmnist}, {model: cnn}, _self_]\n"
    (tmp_path / "conf" / "config.yaml").write_text(text)
    flags = ("--config-dir", "conf", f"stage={stage}")
    done = run_main(*flags, *SMALL, "hydra.run.dir=conf")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"hydra.run.dir: {tmp_path}/conf is in {tmp_path}/conf, where YAML files are looked for: "
        "what a run writes there would be taken for choices. Use another directory.\n"
    )
    assert contents(tmp_path) == {"conf/config.yaml": text.encode()}


def test_what_a_run_does_not_write_may_lie_in_its_directory(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for folder in ("checkpoints", "data"):
        (tmp_path / folder).mkdir()
    open_and_close(tmp_path)
    open_and_close(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


_DIE_BEFORE = """
import os, signal, sys
from pathlib import Path
from runwright import compose
from runwright.rundir.directory import RunDir
config = compose(sys.argv[3:])
def die_at(event, arguments, last=int(sys.argv[2]), seen=[0]):
    if event in ("open", "os.rename", "os.remove", "os.mkdir") and sys.argv[1] in str(arguments[0]):
        seen[0] += 1
        if seen[0] == last:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die_at)
with RunDir.open(sys.argv[1], config):
    print("not killed")
"""


@pytest.mark.parametrize("moment", [2, 4, 6, 9])
def test_a_directory_whose_run_was_killed_at_once_is_its_own(tmp_path: Path, moment: int) -> None:
    run_dir = tmp_path / "run"
    done = run_python("-c", _DIE_BEFORE, run_dir, str(moment), "dm=cmnist", "model=cnn", "gpu=-1")
    assert done.returncode == -signal.SIGKILL, done.stderr
    open_and_close(run_dir)


def test_directories_of_before_are_known_by_what_is_in_them(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    open_and_close(whole)
    # In version 0.1 the environment came last, and so it may be missing.
    killed = Path(shutil.copytree(whole, tmp_path / "killed"))
    (killed / "environment.json").unlink()
    open_and_close(killed)
    # Someone kept the checkpoints alone.
    kept = tmp_path / "kept"
    Checkpoints(kept / "checkpoints", CheckpointCfg()).save(1, {}, {}, {})
    with pytest.raises(UserError, match="config.yaml is missing, which says what"):
        open_and_close(kept)


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def make_circle(path: Path) -> None:
    path.symlink_to(path.name)


def make_device(path: Path) -> None:
    path.symlink_to("/dev/null")


KINDS: dict[str, Callable[[Path], None]] = {
    "a pipe": make_pipe,
    "a link to .+, which cannot be reached": make_dangling,
    "a link to [^/]+, which cannot be reached": make_circle,
    "a device": make_device,
    "a folder": Path.mkdir,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["log.txt", "metrics.csv", ".lock", "checkpoints/best.safetensors"]
)
def test_what_is_no_file_where_a_run_writes_one_is_named(
    tmp_path: Path, name: str, kind: str
) -> None:
    open_and_close(tmp_path)
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    KINDS[kind](place)
    with pytest.raises(UserError, match=f"{name} is {kind}. A run writes there: move it out"):
        open_and_close(tmp_path)


@pytest.mark.parametrize("name", ["checkpoints", "pictures", "tensorboard"])
def test_what_is_no_folder_where_a_run_needs_one_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("in the way")
    with pytest.raises(UserError, match=f"{name} is a file. A run writes there: move it out"):
        open_and_close(tmp_path)


@pytest.mark.parametrize(
    ("caller", "shown"),
    [
        (Caller(), "run_dir={}: "),
        (Caller(directory_option="hydra.run.dir"), "hydra.run.dir={}: "),
        (Caller(directory_option="hydra.sweep.dir"), "{} (see hydra.sweep.dir): "),
    ],
)
def test_the_option_is_called_as_its_caller_does(
    tmp_path: Path, caller: Caller, shown: str
) -> None:
    place = tmp_path / ("x" * 300)
    with pytest.raises(UserError) as caught, RunDir.open(place, CONFIG, caller=caller):
        pass
    assert str(caught.value) == f"{shown.format(place)}File name too long."


def test_only_what_checkpoints_left_half_written_is_cleaned_up(tmp_path: Path) -> None:
    left = ["step-00000007.safetensors", ".step-00000007.state.safetensors.12.34.tmp"]
    others = ["step-7.safetensors", "step-notes.txt", "mine.tmp", ".mine.1.2.tmp", "step-x.tmp"]
    for name in (*left, *others):
        (tmp_path / name).write_text("half")
    Checkpoints(tmp_path, CheckpointCfg()).clean()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


@pytest.mark.parametrize("place", ["conf/hydra", "conf/new"])
def test_nothing_runs_among_the_files_of_a_project(
    run_main: Run, tmp_path: Path, place: str
) -> None:
    (tmp_path / "conf" / "hydra").mkdir(parents=True)
    text = "defaults: [config_schema, {dm: cmnist}, {model: cnn}, _self_]\n"
    (tmp_path / "conf" / "config.yaml").write_text(text)
    for flags, option, named in (
        ((f"hydra.run.dir={place}",), "hydra.run.dir", f"{tmp_path}/{place}"),
        (("-m", "seed=1", f"hydra.sweep.dir={place}"), "hydra.sweep.dir", place),
    ):
        done = run_main("--config-dir", "conf", *SMALL, *flags)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f"{option}: {named} is in {tmp_path}/conf, where YAML files are looked for: what a run "
            "writes there would be taken for choices. Use another directory.\n"
        )
    assert contents(tmp_path) == {"conf/config.yaml": text.encode()}


def test_a_run_resumes_in_its_own_directory_from_its_own_record(tmp_path: Path) -> None:
    open_and_close(tmp_path)
    assert among_choices(tmp_path, [tmp_path]) is None
    assert among_choices(tmp_path / "again", [tmp_path]) is None
    assert among_choices(tmp_path, [Path.cwd()]) is None  # main.py and its files in one folder


@pytest.mark.parametrize("below", ["", "/below"])
@pytest.mark.parametrize("kind", ["a pipe", "a link to .+, which cannot be reached", "a file"])
def test_what_is_no_folder_where_a_directory_is_to_be_is_named(
    run_main: Run, tmp_path: Path, kind: str, below: str
) -> None:
    place = tmp_path / "place"
    KINDS.get(kind, Path.touch)(place)
    for flags, named in (
        ((f"hydra.run.dir=place{below}",), "hydra.run.dir"),
        (("-m", "seed=1", f"hydra.sweep.dir=place{below}"), f"hydra.sweep.dir=place{below}"),
    ):
        done = run_main(*SMALL, *flags)
        assert done.returncode == 2
        assert re.fullmatch(f"{named}: {place} is {kind}. Use another directory.\n", done.stderr)
    with pytest.raises(UserError, match=f"run_dir={place}{below}: {place} is {kind}."):
        open_and_close(Path(f"{place}{below}"))
