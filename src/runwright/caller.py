"""Who started a run: what it is told, what it is asked, and what it calls things."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import attrs

REQUEUE: Final = 128 + signal.SIGUSR2
"""The exit status of a run that saved a checkpoint in order to be queued again."""


class Reporter(Protocol):
    """Is told of every validation, and may end the training."""

    def report(self, step: int, value: float) -> bool:
        """Take the monitored measure at a step; returns whether to end the training now."""
        ...


def _in_python(run_dir: Path) -> str:
    return f"compose(…).run({str(run_dir)!r})"


@attrs.frozen(kw_only=True)
class Caller:
    """Who started a run; by default somebody in Python.

    Attributes:
        resume_command: what a person types to go on with the run in a directory.
        directory_option: the option that says where the run is written.
        reporter: is told of every validation.
        is_preempted: whether a job that is asked to end makes way for another, and will run again.
    """

    resume_command: Callable[[Path], str] = _in_python
    directory_option: str = "run_dir"
    reporter: Reporter | None = None
    is_preempted: Callable[[], bool] = lambda: False

    def named(self, run_dir: Path) -> str:
        """A run directory, with the option that gives it, or gives the one above it."""
        is_above = self.directory_option == "hydra.sweep.dir"
        option = self.directory_option
        return f"{run_dir} (see {option})" if is_above else f"{option}={run_dir}"
