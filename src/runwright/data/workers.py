"""Processes that gather batches beside the training, started once and kept."""

import atexit
import contextlib
import io
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
import weakref
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from queue import SimpleQueue
from typing import Any, Final, Generic, NoReturn, TypeVar, cast

import attrs
import torch
from torch import multiprocessing as torch_multiprocessing  # its tensors travel in shared memory
from typing_extensions import override

from runwright.data.interface import Batch
from runwright.errors import RunError

B = TypeVar("B", bound=Batch)

# A fork costs milliseconds. macOS's own libraries do not bear it.
_CONTEXT: Final = torch_multiprocessing.get_context("fork" if sys.platform == "linux" else None)

# What is meant for the training: after it, or when it is gone, the workers end by themselves.
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)

_DIED: Final = (
    "Worker {number} of {count}, which gathers batches (process {pid}), {how} while it gathered "
    "the examples {examples}. {advice}"
)
_ADVICE: Final = {
    signal.SIGKILL: "The system does so when memory runs out: use fewer workers (dm.num_workers), "
    "or a smaller batch size of the data (dm.batch_size).",
    signal.SIGBUS: "Batches travel in shared memory, of which there is too little: make /dev/shm "
    "larger (docker run --shm-size=8g), or use fewer workers (dm.num_workers).",
}
_LOOK_FOR_IT: Final = (
    "With dm.num_workers=0 the batches are gathered in the training's own process, where it can "
    "be looked for."
)

# What fits into the buffer of a pipe.
_SMALL: Final = 2**16
_IN_NUMPY: Final = frozenset(
    {
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.float16, torch.float32, torch.float64),
    }
)

_started: "weakref.WeakSet[Workers[Batch]]" = weakref.WeakSet()


class Workers(Generic[B]):
    """Processes that each gather one batch at a time, for whichever thread asks.

    They end with this object, with the program, and when the program is killed.
    """

    def __init__(self, gather: Callable[[torch.Tensor, int], B], count: int) -> None:
        """Start `count` processes, of which each calls `gather(positions, epoch)`.

        Call it in the main thread: where processes are forked, they are copies of this one.
        """
        self.count = count
        self.is_closed = False
        with _signals_held_back(), warnings.catch_warnings():
            # Python ≥ 3.12 warns of a fork beside threads, whose locks the copy might wait for. The
            # copy does nothing but gather; torch's own loader relies on the same.
            warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork")
            self._workers = [_Worker(gather, number) for number in range(1, count + 1)]
        self._free: SimpleQueue[_Worker[B]] = SimpleQueue()
        for worker in self._workers:
            self._free.put(worker)
        self._finalizer = weakref.finalize(self, _kill, [one.process for one in self._workers])
        _started.add(cast("Workers[Batch]", self))

    def gather(self, positions: torch.Tensor, epoch: int) -> B:
        """Let a free worker gather a batch, and wait for it; may be called in any thread.

        Raises:
            RunError: the worker was killed, or crashed.
            Exception: whatever `gather` raised there.
        """
        worker = self._free.get()
        try:
            answer = worker.ask(positions, epoch)
        except (EOFError, OSError) as error:
            raise RunError(worker.death(positions, self.count)) from error
        finally:
            self._free.put(worker)
        if isinstance(answer, _Failure):
            answer.error.add_note(f"It was raised in worker {worker.number} of {self.count}.")
            raise answer.error from _InWorkerError(answer.traceback)
        return answer

    def close(self) -> None:
        """End the processes, whatever they do."""
        self.is_closed = True
        self._finalizer()


@attrs.frozen
class _Failure:
    """What went wrong in a worker."""

    error: Exception
    traceback: str


class _InWorkerError(Exception):
    """Shows where in a worker an exception came from."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class _Pickler(ForkingPickler):
    """Sends small tensors as bytes: shared memory takes a third of a millisecond for each."""

    @override
    def reducer_override(self, obj: Any) -> Any:
        is_plain = type(obj) is torch.Tensor and obj.layout is torch.strided
        if is_plain and obj.nbytes <= _SMALL and obj.dtype in _IN_NUMPY:
            return torch.from_numpy, (obj.detach().numpy(),)
        return NotImplemented


def _packed(batch: Batch) -> bytes:
    packed = io.BytesIO()
    _Pickler(packed, pickle.HIGHEST_PROTOCOL).dump(batch)
    return packed.getvalue()


class _Worker(Generic[B]):
    """One process, and the way to it."""

    def __init__(self, gather: Callable[[torch.Tensor, int], B], number: int) -> None:
        self.number = number
        self._connection, theirs = _CONTEXT.Pipe()
        self.process: BaseProcess = _CONTEXT.Process(
            target=_serve, args=(gather, theirs), name=f"batches-{number}", daemon=True
        )
        self.process.start()
        theirs.close()  # so that this side hears when that one is gone

    def ask(self, positions: torch.Tensor, epoch: int) -> B | _Failure:
        self._connection.send((positions.numpy(), epoch))
        return self._connection.recv()

    def death(self, positions: torch.Tensor, count: int) -> str:
        """A sentence on how the process ended."""
        self.process.join(5)
        code = self.process.exitcode
        how, advice = f"ended with status {code}", _LOOK_FOR_IT
        if code is not None and code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
            advice = _ADVICE.get(signal.Signals(-code), _LOOK_FOR_IT)
        return _DIED.format(
            number=self.number,
            count=count,
            pid=self.process.pid,
            how=how,
            examples=some_of(positions),
            advice=advice,
        )


def some_of(positions: torch.Tensor) -> str:
    """The first few positions, as text: "3, 17, 5, …"."""
    few = ", ".join(str(int(position)) for position in positions.flatten()[:5])
    return f"{few}, …" if positions.numel() > 5 else few


def _serve(gather: Callable[[torch.Tensor, int], Batch], connection: Connection) -> None:
    """Gather what is asked for until nobody asks any more."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    threading.Thread(target=_end_with_the_program, daemon=True).start()
    torch.set_num_threads(1)
    while True:
        try:
            positions, epoch = connection.recv()
        except EOFError:
            return
        try:
            batch = gather(torch.from_numpy(positions), epoch).map(_owned)
            connection.send_bytes(_packed(batch))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is raised where it was asked for
            connection.send(_failure(error))


def _owned(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor that is no part of a larger one, for all of that would be moved to shared memory."""
    is_part = tensor.untyped_storage().nbytes() != tensor.nbytes
    return tensor.clone() if is_part else tensor


def _failure(error: Exception) -> _Failure:
    text = traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001  # one that cannot travel
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return _Failure(error, text)


def _end_with_the_program() -> NoReturn:
    """End this worker at once when the program is gone, also when it was killed."""
    program = multiprocessing.parent_process()
    assert program is not None
    wait([program.sentinel])
    os._exit(1)


@contextlib.contextmanager
def _signals_held_back() -> Generator[None]:
    """Let signals wait until a new process no longer handles them as this one does."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kill(processes: list[BaseProcess]) -> None:
    for process in processes:
        process.kill()  # they hold nothing that would have to be saved
    for process in processes:
        process.join()


@atexit.register  # later than multiprocessing's own, so it comes first: that one waits for them
def _close_all() -> None:
    for workers in list(_started):
        workers.close()
