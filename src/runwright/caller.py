"""Who started a run: what it is told, what it is asked, and the terms that it uses."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import attrs

REQUEUE: Final = 128 + signal.SIGUSR2
"""The exit status of a run that saved a checkpoint in order to be queued again."""


def is_restarted() -> bool:
    """Whether what started this process has started it again, to go on where it ended."""
    counts = ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT")
    return any(os.environ.get(name, "0") != "0" for name in counts)


class Reporter(Protocol):
    """Receives every validation, and may end the training."""

    def report(self, step: int, value: float) -> bool:
        """Take the monitored measure at a step; returns whether to end the training now."""
        ...


def _in_python(run_dir: Path) -> str:
    return f"compose(…).run({str(run_dir)!r})"


@attrs.frozen(kw_only=True)
class Caller:
    """Who started a run; by default, Python code.

    Attributes:
        resume_command: what a user types to resume the run in a directory.
        directory_option: the option that says where the run is written.
        reporter: receives every validation.
        is_preempted: whether a job that is asked to end is being preempted, and will run again.
    """

    resume_command: Callable[[Path], str] = _in_python
    directory_option: str = "run_dir"
    reporter: Reporter | None = None
    is_preempted: Callable[[], bool] = lambda: False

    def named(self, run_dir: Path) -> str:
        """A run directory, with the option that sets it or the folder above it."""
        is_above = self.directory_option == "hydra.sweep.dir"
        option = self.directory_option
        return f"{run_dir} (see {option})" if is_above else f"{option}={run_dir}"
