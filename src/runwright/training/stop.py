"""Stopping on request: Ctrl-C and SIGTERM end a training after the current step.

On a cluster, SIGUSR2 announces that the job's time is up or that it is being preempted. It ends the
training likewise, with an exit status that asks to requeue the job. Unless Slurm is told to send it
(`SlurmctldParameters=preempt_send_user_signal`), a preempted job gets SIGTERM, just like a
cancelled one; only its launcher can find out which of the two it is.
"""

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Generator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from runwright.device.distributed import World

log = logging.getLogger(__name__)

_SAME_REQUEST_SECONDS: Final = 1.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)


class StopRequest:
    """Within this context SIGINT and SIGTERM end the program cleanly and immediately.

    Within `after_the_step()` the first of them is only noted, for the loop to act on. One that
    follows immediately is the same request again: a terminal sends it to every process of a
    program, and so does whatever started them (torchrun, a sweep).
    """

    def __init__(self, is_preempted: Callable[[], bool] = lambda: False) -> None:
        """Handle signals within the context.

        Args:
            is_preempted: whether a job on a cluster that got SIGTERM will run again.
        """
        self._is_preempted = is_preempted
        self.signal: int | None = None
        self._noted_at = 0.0
        self._noting = False
        self._before: dict[signal.Signals, object] = {}

    @property
    def requested(self) -> bool:
        """Whether the run should save a checkpoint and end."""
        return self.signal is not None

    def raise_if_requested(self) -> None:
        """End the program as the signal would have.

        Raises:
            KeyboardInterrupt: after Ctrl-C.
            SystemExit: after SIGTERM, with status 143, and after SIGUSR2, with 140.
        """
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal == signal.SIGTERM and self._can_be_requeued and self._is_preempted():
            self.signal = signal.SIGUSR2
        if self.signal is not None:
            raise SystemExit(128 + self.signal)

    def agree(self, world: "World") -> None:
        """Adopt the request of any process; a request to be requeued takes precedence."""
        asked = {one for one in world.all_gather(self.signal) if one is not None}
        again = signal.SIGUSR2 in asked
        self.signal = signal.SIGUSR2 if again else max(asked, default=None)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # If nothing waits for SIGUSR2, it keeps its default: to kill.
                if number != signal.SIGUSR2 or callable(signal.getsignal(number)):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]  # it is what signal.signal returned

    @property
    def _can_be_requeued(self) -> bool:
        """Whether this is a job on a cluster, where something waits for SIGUSR2."""
        return signal.SIGUSR2 in self._before

    @contextlib.contextmanager
    def after_the_step(self) -> Generator[None]:
        """Note the first signal instead of ending the program."""
        self._noting = True
        try:
            yield
        finally:
            self._noting = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._can_be_requeued and {self.signal, number} <= {signal.SIGTERM, signal.SIGUSR2}:
            # Slurm sends one after the other, or one twice, and kills when the time is up.
            if number == signal.SIGUSR2:
                self.signal = number
            return
        again = self.requested
        if again and time.monotonic() - self._noted_at < _SAME_REQUEST_SECONDS:
            return
        self.signal, self._noted_at = number, time.monotonic()
        if again or not self._noting:
            self.raise_if_requested()
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        log.info("%s: stopping after this step; a second signal stops at once.", name)
