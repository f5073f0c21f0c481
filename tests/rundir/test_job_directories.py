"""The directories of jobs that a repeated command numbers differently."""

from pathlib import Path
from typing import Any

import pytest

from conftest import TINY, Run, last_of_each
from runwright import Config, compose
from runwright.rundir import job_directories
from runwright.rundir.changes import differences
from runwright.rundir.job_directories import JobDirectories
from runwright.rundir.record import config_yaml

SWEEP = ("-m", *TINY, "hydra.sweep.dir=sweep")


def seeds(folder: Path) -> dict[str, int]:
    """The seed that ran in every directory of a multirun."""
    lines = {path.parent.name: path.read_text() for path in folder.glob("*/config.yaml")}
    return {name: int(text.split("\nseed: ")[1].split()[0]) for name, text in lines.items()}


@pytest.mark.slow
def test_a_job_goes_on_where_it_ran_whatever_its_number_is_now(
    run_main: Run, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep"
    assert run_main(*SWEEP, "seed=1,2").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in sweep.glob("*/checkpoints/*")}
    more = run_main(*SWEEP, "seed=3,2,4,1")
    assert more.returncode == 0, more.stderr
    assert seeds(sweep) == {"0": 1, "1": 2, "2": 3, "3": 4}
    assert more.stdout.count("This run has finished") == 2
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == ["0", "1", "2", "3"]


@pytest.mark.slow
def test_a_changed_command_is_refused_all_the_same(run_main: Run, tmp_path: Path) -> None:
    assert run_main(*SWEEP, "seed=1,2").returncode == 0
    changed = run_main(*last_of_each(*SWEEP, "opt.lr=0.5"), "seed=1,2")
    assert changed.returncode != 0
    assert "opt.lr: " in changed.stderr
    assert seeds(tmp_path / "sweep") == {"0": 1, "1": 2}


def held(folder: Path, *overrides: str) -> None:
    """Record a run in a directory."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(
        config_yaml(compose(["dm=cmnist", "model=cnn", *overrides]), folder)
    )


def test_each_job_of_a_grid_that_grew_has_one_directory(tmp_path: Path) -> None:
    for number, (seed, lr) in enumerate([(1, 0.1), (1, 0.2), (2, 0.1), (2, 0.2)]):
        held(tmp_path / str(number), f"seed={seed}", f"opt.lr={lr}")
    known = JobDirectories(tmp_path)
    grid = [(seed, lr) for seed in (1, 2) for lr in (0.1, 0.2, 0.3)]
    configs = [
        compose(["dm=cmnist", "model=cnn", f"seed={seed}", f"opt.lr={lr}"]) for seed, lr in grid
    ]
    places = [known.place(n, config, {"seed", "opt.lr"}) for n, config in enumerate(configs)]
    assert [place.name for place in places] == ["0", "1", "4", "2", "3", "5"]


def test_what_decides_nothing_does_not_tell_jobs_apart(tmp_path: Path) -> None:
    for number, seed in enumerate((1, 2)):
        held(tmp_path / str(number), f"seed={seed}", "wandb.name=a", "wandb.tags=[a]")
    known = JobDirectories(tmp_path)
    swept = {"seed", "wandb.name", "wandb.tags", "finetune.reset"}
    for seed, place in ((2, "1"), (1, "0")):
        changed = [f"seed={seed}", "wandb.name=b", "wandb.tags=[b]"]
        config = compose(["dm=cmnist", "model=cnn", *changed])
        assert known.place(5, config, swept).name == place


def test_each_job_of_a_large_grid_is_compared_with_its_own_record_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = range(20)
    configs = [compose(["dm=cmnist", "model=cnn", f"seed={seed}"]) for seed in seeds]
    for number, config in enumerate(configs):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "config.yaml").write_text(config_yaml(config, tmp_path))
    compared = list[Config]()

    def counted(before: dict[str, Any], config: Config) -> dict[str, str]:
        compared.append(config)
        return differences(before, config)

    monkeypatch.setattr(job_directories, "differences", counted)
    known = JobDirectories(tmp_path)
    again = [known.place(n, config, {"seed"}) for n, config in enumerate(reversed(configs))]
    assert [int(path.name) for path in again] == [*reversed(seeds)]
    assert len(compared) <= 2 * len(seeds)  # also with that of its number


def test_a_group_that_is_swept_may_decide_on_every_option(tmp_path: Path) -> None:
    held(tmp_path / "0", "opt.lr=0.1")
    other = compose(["dm=cmnist", "model=fcn", "opt.lr=0.2"])
    assert JobDirectories(tmp_path).place(0, other, {"seed"}).name == "0"
    assert JobDirectories(tmp_path).place(0, other, {"model"}).name == "1"
    assert JobDirectories(tmp_path).place(0, other, {"experiment"}).name == "2"


def test_a_dictionary_that_is_swept_is_another_job(tmp_path: Path) -> None:
    held(tmp_path / "0", "dm.label_map={3:0,8:1}")
    other = compose(["dm=cmnist", "model=cnn", "dm.label_map={1:0,7:1}"])
    assert JobDirectories(tmp_path).place(0, other, {"seed"}).name == "0"
    assert JobDirectories(tmp_path).place(0, other, {"dm.label_map"}).name == "1"


def test_a_damaged_record_is_left_to_the_run_that_is_given_it(tmp_path: Path) -> None:
    held(tmp_path / "0", "seed=1")
    (tmp_path / "0" / "config.yaml").write_text("{")
    config = compose(["dm=cmnist", "model=cnn", "seed=1"])
    known = JobDirectories(tmp_path)
    assert known.place(0, config, {"seed"}).name == "0"
    assert JobDirectories(tmp_path).place(3, config, {"seed"}).name == "3"


def grid(*seeds: int, lr: float = 0.1) -> list[list[str]]:
    return [["dm=cmnist", "model=cnn", f"seed={seed}", f"opt.lr={lr}"] for seed in seeds]


def places(known: JobDirectories, jobs: list[list[str]]) -> list[str]:
    return [
        known.place(number, compose(overrides), {"seed"}, overrides).name
        for number, overrides in enumerate(jobs)
    ]


def test_a_job_that_waits_in_a_queue_has_its_directory_already(tmp_path: Path) -> None:
    submitted = {tmp_path / str(number): job for number, job in enumerate(grid(1, 2))}
    assert places(JobDirectories(tmp_path, submitted), grid(3, 2, 4, 1)) == ["2", "1", "3", "0"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]


def test_of_a_command_that_was_changed_a_job_that_waits_is_not_another(tmp_path: Path) -> None:
    submitted = {tmp_path / str(number): job for number, job in enumerate(grid(1, 2))}
    assert places(JobDirectories(tmp_path, submitted), grid(1, 2, lr=0.5)) == ["0", "1"]


def test_a_job_that_has_begun_is_known_by_its_record(tmp_path: Path) -> None:
    held(tmp_path / "0", "seed=5", "opt.lr=0.1")
    submitted = {tmp_path / str(number): job for number, job in enumerate(grid(1, 2))}
    assert places(JobDirectories(tmp_path, submitted), grid(1, 2, 5)) == ["2", "1", "0"]


def test_a_job_that_runs_elsewhere_holds_no_directory_here(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "1"
    known = JobDirectories(tmp_path / "sweep", {elsewhere: grid(1)[0]})
    assert places(known, grid(1)) == ["0"]
