"""Let several loops take turns, some steps each, and time them.

Where others use the machine, its speed changes from second to second, and by more than what is to
be measured: two runs of the same loop, one after the other, differ by ±7 %. Loops that take turns
meet the same conditions: then they differ by 1 %. Each is a process of its own, with a heap and an
interpreter that no other has used.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch

# Long enough that the caches are warm again for nearly all of a turn, even of a short step, and
# that a GPU has seldom to wait for the first one.
STEPS_A_TURN: Final = 20

_PROCESSES: Final = multiprocessing.get_context("fork")  # what is imported need not be once more
os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # whoever uses CUDA itself cannot be forked


class Clock:
    """Times what lies between `start` and `stop`, but for what others do in their turns."""

    def __init__(self, ring: "Ring", number: int) -> None:
        """Take part in the ring, as the one of this number."""
        self.seconds = 0.0
        self._resumed_at = 0.0
        self._ring = ring
        self._number = number
        self._steps = 0

    def start(self) -> None:
        """Wait until all have come this far; then begin to count."""
        self._wait_for_devices()
        self._ring.pass_on(self._number)
        self._resumed_at = time.perf_counter()

    def step(self) -> None:
        """Before a step: let every other one make some, when it is time."""
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
    """Processes of which one runs at a time, in a fixed order."""

    def __init__(self, size: int) -> None:
        """Begin with number 0."""
        self._turns: Final[list[Any]] = [_PROCESSES.Semaphore(0) for _ in range(size)]
        self._take_part: Final[Any] = _PROCESSES.Array("b", [1] * size)
        self._turns[0].release()

    def wait(self, number: int) -> None:
        """Wait until it is one's turn."""
        self._turns[number].acquire()

    def pass_on(self, number: int) -> None:
        """Let the next one run, and wait until it is one's turn again."""
        size = len(self._turns)
        following = (following % size for following in range(number + 1, number + 1 + size))
        self._turns[next(n for n in following if self._take_part[n])].release()
        self.wait(number)

    def leave(self, number: int) -> None:
        """Let the others go on without this one."""
        self._take_part[number] = 0
        if any(self._take_part):
            size = len(self._turns)
            following = (following % size for following in range(number + 1, number + size))
            self._turns[next(n for n in following if self._take_part[n])].release()


def in_turns(sides: Mapping[str, Callable[[Clock], None]]) -> dict[str, float]:
    """The seconds of each side, all of which go forward together."""
    ring = Ring(len(sides))
    seconds: Any = _PROCESSES.Array("d", len(sides))

    def take_part(number: int, side: Callable[[Clock], None]) -> None:
        clock = Clock(ring, number)
        ring.wait(number)
        try:
            side(clock)
            seconds[number] = clock.seconds
        finally:
            ring.leave(number)

    processes = [
        _PROCESSES.Process(target=take_part, args=(number, side), name=name)
        for number, (name, side) in enumerate(sides.items())
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            raise SystemExit(f"{process.name} ended with status {process.exitcode}.")
    return dict(zip(sides, seconds, strict=True))
