"""The slots of a sweep: each runs one trial after another, without waiting for the others.

With Hydra's basic launcher and one slot, trials run in this very process. With more slots each has
a process of its own, which is kept from trial to trial. Every other launcher (joblib, submitit) is
given one trial at a time, from one thread per slot.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol, TypeAlias, cast

import attrs
import cloudpickle
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig

from runwright.cli import basic_launcher
from runwright.errors import ConfigError, RunError, UserError, told
from runwright.sweep.trial import TrialJob

log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Assignment:
    """A trial to be launched.

    Attributes:
        number: the trial's.
        overrides: its command line.
        job: the task function.
    """

    number: int
    overrides: list[str]
    job: TrialJob


@attrs.frozen(kw_only=True)
class Ended:
    """How a launched trial ended.

    Attributes:
        error: what went wrong, or None.
        refusal: what the launcher cannot do, for this trial or any other.
    """

    error: str | None = None
    refusal: UserError | None = None


Next: TypeAlias = Callable[[], Assignment | None]
Done: TypeAlias = Callable[[Assignment, Ended], None]


class Slot(Protocol):
    """Runs a trial and waits for its end."""

    def run(self, assignment: Assignment) -> Ended:
        """Run one trial."""
        ...

    def interrupt(self) -> None:
        """Ask the running trial to save a checkpoint and end, if nothing else asks it."""
        ...

    def close(self) -> None:
        """Release what the slot holds: no more trials follow."""
        ...


@attrs.frozen(kw_only=True)
class SlotOnGpu:
    """A slot whose trials run on one GPU.

    Attributes:
        slot: what runs them.
        gpu: the number of the GPU.
    """

    slot: Slot
    gpu: int

    def run(self, assignment: Assignment) -> Ended:
        """Run one trial there."""
        overrides = [*assignment.overrides, f"gpu={self.gpu}"]
        return self.slot.run(attrs.evolve(assignment, overrides=overrides))

    def interrupt(self) -> None:
        """Interrupt the slot."""
        self.slot.interrupt()

    def close(self) -> None:
        """Close the slot."""
        self.slot.close()


def work_through(slots: int, new_slot: Callable[[], Slot], next_trial: Next, done: Done) -> None:
    """Keep every slot busy until there are no more trials.

    Whatever ends this thread, such as Ctrl-C, ends the trials too.

    Raises:
        BaseException: the first error that does not concern a single trial.
    """
    if slots == 1:
        _work(new_slot(), next_trial, done)
        return
    errors: list[BaseException] = []
    opened = [new_slot() for _ in range(slots)]

    def work(slot: Slot) -> None:
        try:
            _work(slot, next_trial, done)
        except BaseException as error:  # handed to the main thread
            errors.append(error)
            bug = None if isinstance(error, UserError | RunError) else error
            text = told(error)
            log.exception("A slot ended; the others continue: %s", text, exc_info=bug)

    # Daemons: after Ctrl-C nothing waits for a thread that waits for a cluster.
    threads = [threading.Thread(target=work, args=(slot,), daemon=True) for slot in opened]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:
        for slot in opened:
            slot.interrupt()
        raise
    if errors:
        raise errors[0]


def _work(slot: Slot, next_trial: Next, done: Done) -> None:
    with contextlib.closing(slot):
        while (assignment := next_trial()) is not None:
            done(assignment, slot.run(assignment))


@attrs.frozen(kw_only=True)
class LauncherSlot:
    """Hands every trial to a launcher of its own, as Hydra configures it."""

    hydra_context: HydraContext
    config: DictConfig

    def run(self, assignment: Assignment) -> Ended:
        """Launch one trial and wait for it."""
        launcher = Plugins.instance().instantiate_launcher(
            config=self.config, hydra_context=self.hydra_context, task_function=assignment.job
        )
        return _launch(launcher, assignment)

    def interrupt(self) -> None:
        """Leave the jobs to their launcher: those on a cluster keep running."""

    def close(self) -> None:
        """Do nothing: each trial has its own launcher."""


class ProcessSlot:
    """A process that runs trials with Hydra's basic launcher, and is replaced when it dies."""

    def __init__(self, hydra_context: HydraContext, config: DictConfig) -> None:
        # Hydra's and OmegaConf's registries hold functions that only cloudpickle can send.
        self._start_with = cloudpickle.dumps((hydra_context, config, Singleton.get_state()))
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    def run(self, assignment: Assignment) -> Ended:
        """Run one trial in the process."""
        connection, process = self._started()
        try:
            connection.send(assignment)
            return connection.recv()
        except (EOFError, ConnectionResetError, BrokenPipeError):
            process.join()
            self._connection = None
            code = process.exitcode or 0
            how = signal.Signals(-code).name if code < 0 else f"status {code}"
            return Ended(error=f"its process ended with {how}")

    def interrupt(self) -> None:
        """Send the process Ctrl-C, which reaches it by itself only from a terminal."""
        process = self._process
        if self._connection is not None and process is not None and process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)

    def close(self) -> None:
        """End the process."""
        if self._connection is not None and self._process is not None:
            self._connection.close()
            self._process.join()

    def _started(self) -> tuple[Connection, BaseProcess]:
        if self._connection is None or self._process is None:
            context = _processes()
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, self._start_with))
            process.start()
            theirs.close()  # so that the connection ends with the process
            self._connection, self._process = cast("Connection", ours), process
        return self._connection, self._process


def prepare_processes() -> None:
    """Let the process from which the slots are forked import torch in the background."""
    if isinstance(_processes(), ForkServerContext):
        forkserver.ensure_running()


def _processes() -> ForkServerContext | SpawnContext:
    """How processes are made: if possible, forked from one that has imported torch.

    Eight that each import it take half a minute on two cores before the first step.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # torch's optimisers import the last one when they are first used.
    context.set_forkserver_preload(["runwright.trained", "runwright.sweep.trial", "torch._dynamo"])
    return context


def _serve(connection: Connection, start_with: bytes) -> None:
    """Run the trials that arrive, until no more are sent."""
    from hydra.core.utils import setup_globals

    hydra_context, config, singletons = cloudpickle.loads(start_with)
    Singleton.set_state(singletons)  # which finds the installed plugins again
    basic_launcher.register()
    setup_globals()
    # Several runs side by side would be unreadable; each has its own log.txt.
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  # stays open as long as the process
    with contextlib.suppress(KeyboardInterrupt, EOFError, BrokenPipeError):
        for assignment in _received(connection):
            launcher = Plugins.instance().instantiate_launcher(
                config=config, hydra_context=hydra_context, task_function=assignment.job
            )
            connection.send(_launch(launcher, assignment))


def _received(connection: Connection) -> Iterator[Assignment]:
    while True:
        yield connection.recv()


def _launch(launcher: Launcher, assignment: Assignment) -> Ended:
    try:
        (returned,) = launcher.launch([assignment.overrides], initial_job_idx=assignment.number)
    except UserError as error:
        # A refused combination concerns this trial; anything else would hit every trial.
        is_of_trial = isinstance(error, ConfigError)
        return Ended(error=told(error), refusal=None if is_of_trial else error)
    except Exception as error:  # noqa: BLE001  # a trial that fails does not end the sweep
        return Ended(error=told(error))
    try:
        _ = returned.return_value  # raises what the job raised
    except Exception as error:  # noqa: BLE001  # likewise
        return Ended(error=told(error))
    return Ended()
