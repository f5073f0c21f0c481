"""A sweep as a user starts it, in this process: torch is imported once for all of them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from conftest import REPOSITORY
from runwright.cli.commandline import run_command_line
from runwright.cli.exit_status import DONE, exit_status
from runwright.config import Config
from runwright.factory import name_of
from runwright.sweep.study import load
from runwright.training.run_log import RunLog
from toy_domain import ToySets

SETS = (
    f"dm={name_of(ToySets)}",
    "model=set_encoder",
    "gpu=-1",
    "pictures=false",
    "training.epochs=2",
)

LRS = "opt.lr=tag(log, interval(1e-4, 1e-1))"

Sweep = Callable[..., int]


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """Run `python main.py --multirun hydra/sweeper=runwright …`; returns its exit status."""

    def run(*arguments: str) -> int:
        usual = ("hydra/sweeper=runwright", "hydra.sweep.dir=sweep", *SETS)
        given = {argument.partition("=")[0] for argument in arguments}
        own = [option for option in usual if option.partition("=")[0] not in given]
        program = [str(REPOSITORY / "main.py"), "--multirun"]
        monkeypatch.setattr(sys, "argv", [*program, *own, *arguments])

        def command() -> int:
            run_command_line("conf", "config", Config)
            return DONE

        return exit_status(command)

    return run


def at_every_line(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Do something after every validation."""
    line = RunLog.line

    def line_and_more(self: RunLog, step: int, measures: dict[str, float]) -> None:
        line(self, step, measures)
        do()

    monkeypatch.setattr(RunLog, "line", line_and_more)


def study(folder: str | Path = "sweep", name: str | None = None) -> optuna.Study:
    """The study of a sweep directory."""
    folder = Path(folder)
    return load(str(folder / "study.log"), name or folder.name)


def result(number: int) -> dict[str, object]:
    """How the run of a trial ended."""
    return json.loads(Path("sweep", str(number), "result.json").read_text())


def close(opened: optuna.Study) -> None:
    """Close a study's connections to a database, which otherwise end with a warning."""
    storage: Any = opened._storage  # pyright: ignore[reportPrivateUsage]  # there is no other way
    storage.remove_session()
    storage._backend.engine.dispose()
