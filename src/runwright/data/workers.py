"""Processes that gather batches during the training, started once and kept."""

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

# A fork takes milliseconds. The system libraries of macOS do not support it.
_CONTEXT: Final = torch_multiprocessing.get_context("fork" if sys.platform == "linux" else None)

# Signals meant for the training. When it ends or is killed, the workers end by themselves.
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)

_DIED: Final = (
    "Worker {number} of {count}, which gathers batches (process {pid}), {how} while it gathered "
    "the examples {examples}. {advice}"
)
_ADVICE: Final = {
    signal.SIGKILL: "The system does this when memory runs out. Use fewer workers "
    "(dm.num_workers) or a smaller batch size (dm.batch_size).",
    signal.SIGBUS: "Workers pass batches in shared memory, and there is too little of it. Make "
    "/dev/shm larger (docker run --shm-size=8g), or use fewer workers (dm.num_workers).",
}
_DEBUG: Final = (
    "To find the cause, set dm.num_workers=0: then the training process gathers the batches itself."
)

# Bytes that fit into the buffer of a pipe.
_SMALL: Final = 2**16
_IN_NUMPY: Final = frozenset(
    {
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.float16, torch.float32, torch.float64),
    }
)

_started: "weakref.WeakSet[Workers[Batch]]" = weakref.WeakSet()


class Workers(Generic[B]):
    """Processes that each gather one batch at a time, for any thread.

    They end with this object and with the program, even if it is killed.
    """

    def __init__(self, gather: Callable[[torch.Tensor, int], B], count: int) -> None:
        """Start `count` processes that call `gather(positions, epoch)`.

        Call it in the main thread: where processes are forked, they are copies of this one.

        Args:
            gather: gathers a batch.
            count: how many processes.
        """
        self.count = count
        self.is_closed = False
        with _blocking_signals(), warnings.catch_warnings():
            # Python ≥ 3.12 warns about forking while threads run, whose locks the copy might wait
            # for. The copy only gathers; torch's own loader relies on the same.
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
            Exception: whatever `gather` raised in the worker.
        """
        worker = self._free.get()
        try:
            answer = worker.ask(positions, epoch)
        except (EOFError, OSError) as error:
            raise RunError(worker.death(positions, self.count)) from error
        finally:
            self._free.put(worker)
        if isinstance(answer, _Failure):
            answer.error.add_note(f"Raised in worker {worker.number} of {self.count}.")
            raise answer.error from _InWorkerError(answer.traceback)
        return answer

    def close(self) -> None:
        """Kill the processes, whatever they are doing."""
        self.is_closed = True
        self._finalizer()


@attrs.frozen
class _Failure:
    """An exception that was raised in a worker."""

    error: Exception
    traceback: str


class _InWorkerError(Exception):
    """Shows the traceback of an exception in a worker."""

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
    """One process, and the connection to it."""

    def __init__(self, gather: Callable[[torch.Tensor, int], B], number: int) -> None:
        self.number = number
        self._connection, theirs = _CONTEXT.Pipe()
        self.process: BaseProcess = _CONTEXT.Process(
            target=_serve, args=(gather, theirs), name=f"batches-{number}", daemon=True
        )
        self.process.start()
        theirs.close()  # so that `recv` fails when the worker is gone

    def ask(self, positions: torch.Tensor, epoch: int) -> B | _Failure:
        self._connection.send((positions.numpy(), epoch))
        return self._connection.recv()

    def death(self, positions: torch.Tensor, count: int) -> str:
        """A sentence on how the process ended."""
        self.process.join(5)
        code = self.process.exitcode
        how, advice = f"ended with status {code}", _DEBUG
        if code is not None and code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
            advice = _ADVICE.get(signal.Signals(-code), _DEBUG)
        return _DIED.format(
            number=self.number,
            count=count,
            pid=self.process.pid,
            how=how,
            examples=first_few(positions),
            advice=advice,
        )


def first_few(positions: torch.Tensor) -> str:
    """The first few positions, as text: "3, 17, 5, …"."""
    few = ", ".join(str(int(position)) for position in positions.flatten()[:5])
    return f"{few}, …" if positions.numel() > 5 else few


def _serve(gather: Callable[[torch.Tensor, int], Batch], connection: Connection) -> None:
    """Gather what is requested until the connection is closed."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    threading.Thread(target=_exit_with_the_program, daemon=True).start()
    torch.set_num_threads(1)
    while True:
        try:
            positions, epoch = connection.recv()
        except EOFError:
            return
        try:
            batch = gather(torch.from_numpy(positions), epoch).map(_owned)
            connection.send_bytes(_packed(batch))
        except Exception as error:  # noqa: BLE001  # any error is raised again by `Workers.gather`
            connection.send(_failure(error))


def _owned(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor with memory of its own: all of a larger one would be moved to shared memory."""
    is_part = tensor.untyped_storage().nbytes() != tensor.nbytes
    return tensor.clone() if is_part else tensor


def _failure(error: Exception) -> _Failure:
    text = traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001  # one that cannot be sent
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return _Failure(error, text)


def _exit_with_the_program() -> NoReturn:
    """End this worker as soon as the program has ended, even if it was killed."""
    program = multiprocessing.parent_process()
    assert program is not None
    wait([program.sentinel])
    os._exit(1)


@contextlib.contextmanager
def _blocking_signals() -> Generator[None]:
    """Block signals until a new process no longer handles them as this one does."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kill(processes: list[BaseProcess]) -> None:
    for process in processes:
        process.kill()  # they have nothing to save
    for process in processes:
        process.join()


@atexit.register  # after multiprocessing's own, so it runs first: that one would wait for workers
def _close_all() -> None:
    for workers in list(_started):
        workers.close()
