"""What the jobs of a multirun share, and what they leave behind."""

import collections
import traceback
import weakref
from pathlib import Path

import pytest
from hydra.types import RunMode

from conftest import REPOSITORY, SMALL, last_of_each
from programs import run_python
from runwright import Config, compose
from runwright.compose import schema
from runwright.compose._hydra import search_path
from runwright.compose.convert import without_hydra
from runwright.compose.loader import StrictConfigLoader, to_config
from runwright.domains import register_domains
from runwright.errors import free_variables

# Prints the name of every file that is opened to be read, and a line after each job.
NOTING = """
import sys

def note(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and "w" not in str(arguments[1]):
        print("OPENED", arguments[0], file=sys.__stdout__)

sys.addaudithook(note)
from runwright import app, run as once

def run(*arguments):
    value = once(*arguments)
    print("DONE", file=sys.__stdout__)
    return value

sys.modules["runwright.run"].run = run
app.main()
"""

# Prints, before each job, how many objects live of those kinds that jobs are made of.
COUNTING = """
import gc
import sys
from omegaconf import DictConfig
from runwright import app, run as once

def run(*arguments):
    import torch
    gc.collect()
    kinds = (DictConfig, torch.nn.Module)
    print("ALIVE", *(sum(isinstance(it, kind) for it in gc.get_objects()) for kind in kinds))
    return once(*arguments)

sys.modules["runwright.run"].run = run
app.main()
"""


@pytest.mark.slow
def test_the_jobs_of_a_multirun_import_and_load_nothing_twice(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(NOTING)
    (tmp_path / "conf").symlink_to(REPOSITORY / "conf")
    jobs = ("--multirun", "seed=1,2,3", *SMALL, "training.max_steps=2")
    done = run_python("main.py", *jobs, check=True)
    first, *later, _ = done.stdout.split("DONE\n")
    assert len(later) == 2

    def opened(output: str) -> list[str]:
        names = [line.split(" ", 1)[1] for line in output.splitlines() if line[:7] == "OPENED "]
        of_runs = (str(tmp_path / "multirun"), "multirun", "/proc", "/dev")
        return [name for name in names if not name.startswith(of_runs)]

    assert opened(later[0]) == opened(later[1]) == []
    data = collections.Counter(opened(first))
    assert [count for name, count in data.items() if name.endswith("mnist_5k.csv.gz")] == [1]


@pytest.mark.parametrize("first", ["model=cnn", "model=fcn"])
def test_a_job_that_shares_files_with_others_is_what_it_would_be_alone(first: str) -> None:
    conf = REPOSITORY / "conf"
    register_domains()
    schema.store(Config)
    loader = StrictConfigLoader(search_path(conf))
    master = loader.load_configuration("config", ["seed=1,2"], RunMode.MULTIRUN)
    jobs = [[first, "seed=1"], [first, "opt.lr=0.5"], ["model=resnet"], [first], ["dm=celeba"]]
    for overrides in (*jobs, *jobs):
        job = loader.load_sweep_config(master, overrides)
        assert to_config(without_hydra(job)) == compose(overrides, conf=conf)
        assert job.hydra.overrides.task == overrides


def test_the_jobs_of_a_multirun_find_their_files_where_a_single_run_does(tmp_path: Path) -> None:
    register_domains()
    schema.store(Config)
    (tmp_path / "config.yaml").write_text(
        "defaults: [config_schema, {dm: cmnist}, {model: cnn}, _self_]\nseed: 7\n"
    )
    where = f"hydra.searchpath=[file://{tmp_path}]"
    conf = REPOSITORY / "conf"
    alone = StrictConfigLoader(search_path(conf)).load_configuration("config", [where], RunMode.RUN)
    loader = StrictConfigLoader(search_path(conf))
    master = loader.load_configuration("config", [where, "gpu=0,1"], RunMode.MULTIRUN)
    for gpu in ("gpu=0", "gpu=1"):
        assert loader.load_sweep_config(master, [gpu]).seed == alone.seed == 42


def test_the_jobs_of_a_multirun_leave_nothing_in_memory(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(COUNTING)
    (tmp_path / "conf").symlink_to(REPOSITORY / "conf")
    jobs = last_of_each(
        "--multirun", *SMALL, "training.max_steps=3", "opt.lr=1e-3,1e30", "seed=1,2,3"
    )
    done = run_python("main.py", *jobs)
    assert done.stderr.count("failed: The training loss is") == 3  # with its model and its data
    alive = [line for line in done.stdout.splitlines() if line.startswith("ALIVE")]
    assert len(alive) == 6
    assert all(line.endswith(" 0") for line in alive)
    assert len(set(alive[1:4])) == 1


class Held:
    """What a call holds."""


def fail(alive: "weakref.WeakSet[Held]") -> None:
    held = Held()
    alive.add(held)
    raise ValueError(held.__doc__)


def test_an_exception_holds_nothing_when_it_was_freed_with_those_behind_it() -> None:
    alive: weakref.WeakSet[Held] = weakref.WeakSet()
    kept: list[BaseException] = []

    def caught() -> Exception:
        try:
            fail(alive)
        except ValueError as error:
            return error
        raise AssertionError

    try:
        try:
            fail(alive)
        except ValueError:
            raise ExceptionGroup("several", [caught(), caught()]) from caught()
    except ExceptionGroup as error:
        kept.append(error)
    assert len(alive) == 4
    free_variables(kept[0])
    assert len(alive) == 0
    assert traceback.format_exception(kept[0])[-1]
