"""Let several loops take turns, some steps each, and time them.

On a shared machine the speed changes from second to second, and by more than the difference to be
measured: two runs of the same loop, one after the other, often differ by 7 %. Loops that take
turns run under nearly the same conditions. Each is a process of its own, with a fresh heap and
interpreter.
"""

import multiprocessing
import multiprocessing.connection
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import torch

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

# Long enough that the caches are warm again for nearly all of a turn, even of short steps, and that
# a GPU is seldom without work because a turn begins or ends.
STEPS_A_TURN: Final = 20

_PROCESSES: Final = multiprocessing.get_context("fork")  # what is imported need not be once more
# A process that has initialised CUDA cannot be forked, and torch does so to look whether it can be
# used, unless it is told to ask the driver's library.
os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"


class Clock:
    """Times what happens between `start` and `stop`, except for the turns of others."""

    def __init__(self, ring: "Ring", number: int) -> None:
        """Take part in the ring, as the one of this number."""
        self.seconds = 0.0
        self._resumed_at = 0.0
        self._ring = ring
        self._number = number
        self._steps = 0

    def start(self) -> None:
        """Wait for the others to get here; then start, or continue, counting."""
        self._wait_for_devices()
        self._ring.pass_on(self._number)
        self._resumed_at = time.perf_counter()

    def step(self) -> None:
        """Call this between steps: when a turn is over, the others have theirs."""
        self._steps += 1
        if self._steps % STEPS_A_TURN == 0:
            self.stop()
            self.start()

    def stop(self) -> None:
        """End counting."""
        self._wait_for_devices()
        self.seconds += time.perf_counter() - self._resumed_at

    @staticmethod
    def _wait_for_devices() -> None:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()


class Ring:
    """Processes that run one at a time, in a fixed order."""

    def __init__(self, size: int) -> None:
        """Begin with number 0."""
        self._turns: Final[list[Any]] = [_PROCESSES.Semaphore(0) for _ in range(size)]
        self._take_part: Final[Any] = _PROCESSES.Array("b", [1] * size)
        self._all_have_left: Final = _PROCESSES.Barrier(size)
        self._turns[0].release()

    def wait(self, number: int) -> None:
        """Wait for this process's turn."""
        self._turns[number].acquire()

    def pass_on(self, number: int) -> None:
        """Let the next one run, and wait for the next turn."""
        self._wake_next(number)
        self.wait(number)

    def leave(self, number: int) -> None:
        """Let the others continue without this one, and wait until all have left."""
        self._take_part[number] = 0
        self._wake_next(number)
        self._all_have_left.wait()  # for to end takes time, which would be that of the others

    def _wake_next(self, number: int) -> None:
        size = len(self._turns)
        for following in range(number + 1, number + 1 + size):
            if self._take_part[following % size]:
                self._turns[following % size].release()
                return


def in_turns(sides: Mapping[str, Callable[[Clock], None]]) -> dict[str, float]:
    """The seconds of each side, all of which advance together.

    Raises:
        SystemExit: one of them has failed; the others have been stopped.
    """
    ring = Ring(len(sides))
    seconds: Any = _PROCESSES.Array("d", len(sides))

    def take_part(number: int, side: Callable[[Clock], None]) -> None:
        clock = Clock(ring, number)
        ring.wait(number)
        side(clock)
        seconds[number] = clock.seconds
        ring.leave(number)

    processes = [
        _PROCESSES.Process(target=take_part, args=(number, side), name=name)
        for number, (name, side) in enumerate(sides.items())
    ]
    for process in processes:
        process.start()
    _wait_for_all(processes)
    return dict(zip(sides, seconds, strict=True))


def _wait_for_all(processes: "Sequence[BaseProcess]") -> None:
    running: list[BaseProcess] = list(processes)
    try:
        while running:
            multiprocessing.connection.wait([process.sentinel for process in running])
            for process in running:
                if process.exitcode:
                    raise SystemExit(f"{process.name} ended with status {process.exitcode}.")
            running = [process for process in running if process.is_alive()]
    finally:
        for process in running:
            process.kill()
            process.join()
