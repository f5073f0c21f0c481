"""Let several loops take turns, some steps each, and time them.

Where others use the machine, its speed changes from second to second, and by more than what is to
be measured: two runs of the same loop, one after the other, differ by ±7 %. Loops that take turns
meet the same conditions: then they differ by 1 %. Each is a process of its own, with a heap and an
interpreter that no other has used.
"""

import multiprocessing
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch

# Long enough that the caches are warm again for nearly all of a turn, even of a short step.
STEPS_A_TURN: Final = 20

_PROCESSES: Final = multiprocessing.get_context("fork")  # what is imported need not be once more


class Clock:
    """Times what lies between `start` and `stop`; `step` is called before every step of it."""

    def __init__(self, device: torch.device) -> None:
        """Time work on this device."""
        self.device: Final = device
        self.seconds = 0.0
        self._resumed_at = 0.0

    def start(self) -> None:
        """Begin to count."""
        self._wait_for_device()
        self._resumed_at = time.perf_counter()

    def step(self) -> None:
        """Give others a turn when it is time, where there are others."""

    def stop(self) -> None:
        """End counting."""
        self._wait_for_device()
        self.seconds += time.perf_counter() - self._resumed_at

    def _wait_for_device(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class ClockInTurns(Clock):
    """A clock that stands still while others have their turn."""

    def __init__(self, ring: "Ring", number: int) -> None:
        """Take part in the ring, as the one of this number."""
        super().__init__(torch.device("cpu"))
        self._ring = ring
        self._number = number
        self._steps = 0

    def start(self) -> None:
        """Wait until all have come this far; then begin to count."""
        self._ring.pass_on(self._number)
        super().start()

    def step(self) -> None:
        """Let every other one make as many steps."""
        self._steps += 1
        if self._steps % STEPS_A_TURN == 0:
            super().stop()
            self._ring.pass_on(self._number)
            super().start()


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


def one_by_one(
    sides: Mapping[str, Callable[[Clock], None]], device: torch.device
) -> dict[str, float]:
    """The seconds of each side, run one after the other.

    For GPUs, on which turns would have every step wait for its kernels.
    """
    clocks = {name: Clock(device) for name in sides}
    for name, side in sides.items():
        side(clocks[name])
    return {name: clock.seconds for name, clock in clocks.items()}


def in_turns(sides: Mapping[str, Callable[[Clock], None]]) -> dict[str, float]:
    """The seconds of each side, all of which go forward together on the CPU."""
    ring = Ring(len(sides))
    seconds: Any = _PROCESSES.Array("d", len(sides))

    def take_part(number: int, side: Callable[[Clock], None]) -> None:
        clock = ClockInTurns(ring, number)
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
