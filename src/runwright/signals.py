"""Stopping on request: Ctrl-C and SIGTERM end a training after the step that is under way."""

import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Final, Self

log = logging.getLogger(__name__)

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Within this context the first signal is noted, and a second one interrupts at once."""

    def __init__(self) -> None:
        """Nothing is requested yet."""
        self.signal: int | None = None
        self._before: dict[signal.Signals, object] = {}

    @property
    def requested(self) -> bool:
        """Whether the run should save a checkpoint and end."""
        return self.signal is not None

    def raise_if_requested(self) -> None:
        """End the program as the signal would have.

        Raises:
            KeyboardInterrupt: after Ctrl-C.
            SystemExit: after SIGTERM, with status 143.
        """
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal is not None:
            raise SystemExit(128 + self.signal)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
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

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.requested:
            self.raise_if_requested()
        self.signal = number
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        log.info("%s: stopping after this step; once more stops at once.", name)
