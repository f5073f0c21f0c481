"""A multirun destroys nothing of another's in the directory that it is given."""

import os
from pathlib import Path

import pytest

from conftest import TINY, Run
from runwright.rundir.sweep_layout import in_the_way_of_a_multirun
from runwright.slurm.submissions import overrides_in

ANOTHERS = (
    *("multirun.yaml", "study.log", "optimization_results.yaml"),
    *("pictures/history.png", "pictures/pareto_front.png", "submissions/5.json"),
)
OPTIONS = ("gpu=-1", *TINY, "training.max_steps=1", "hydra.sweep.dir=mine", "seed=1,2")
SEARCH = ("hydra/sweeper=runwright", "hydra.sweeper.n_trials=1")


@pytest.mark.parametrize("name", ANOTHERS)
@pytest.mark.parametrize("content", ["my notes\n", "{}\n", "hydra: mine\n"])
def test_what_no_multirun_has_written_is_named(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(content)
    (problem,) = in_the_way_of_a_multirun(tmp_path)
    assert problem == (
        f"hydra.sweep.dir={tmp_path}: {name} was not written by this program, and a multirun would "
        "overwrite it. Use another directory, or move it away."
    )


@pytest.mark.parametrize("name", ANOTHERS)
def test_what_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    place = tmp_path / name.partition("/")[0]
    place.symlink_to("nowhere")
    (problem,) = in_the_way_of_a_multirun(tmp_path)
    assert problem.startswith(f"{place} is a link to nowhere, which cannot be reached. A multirun")
    place.unlink()
    os.mkfifo(place)
    (problem,) = in_the_way_of_a_multirun(tmp_path)
    assert problem == f"{place} is a pipe. A multirun writes there: move it away."


def test_a_pipe_in_the_place_of_a_submission_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "submissions").mkdir()
    os.mkfifo(tmp_path / "submissions" / "1.json")
    (problem,) = in_the_way_of_a_multirun(tmp_path)
    assert "submissions/1.json was not written by this program" in problem
    assert not overrides_in(tmp_path)


@pytest.mark.parametrize("arguments", [(), SEARCH, ("hydra/sweeper=optuna",)], ids=str)
def test_another_ones_files_stay_as_they_are(
    run_main: Run, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("study.log", "multirun.yaml", "optimization_results.yaml"):
        (tmp_path / "mine" / name).write_text("my notes")
    done = run_main("--multirun", *OPTIONS, *arguments, "opt.lr=-1")
    assert done.returncode == 2
    assert "opt.lr must be > 0" in done.stderr
    assert done.stderr.count("was not written by this program") == 3
    for file in (tmp_path / "mine").iterdir():
        assert file.read_text() == "my notes"


def test_a_file_that_is_no_study_stays_as_it_is(run_main: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("my notes")
    done = run_main("--multirun", *OPTIONS, *SEARCH, "hydra.sweeper.storage=notes.txt")
    assert done.returncode == 2
    assert f"{tmp_path}/notes.txt is not the journal of a study: it begins with" in done.stderr
    assert (tmp_path / "notes.txt").read_text() == "my notes"


@pytest.mark.parametrize("arguments", [(), SEARCH], ids=str)
def test_the_directory_of_a_multirun_is_its_own(
    run_main: Run, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    for _ in range(2):
        assert run_main("--multirun", *OPTIONS, *arguments).returncode == 0
    begun = [path for path in (tmp_path / "mine").iterdir() if path.is_file()]
    assert begun
    for path in begun:  # which another process has begun to write
        path.write_bytes(path.read_bytes()[:8])
    assert in_the_way_of_a_multirun(tmp_path / "mine") == []
